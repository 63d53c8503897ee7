"""BrickFilm: a film as a value, whose fields determine every frame and timestamp."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.brickworld import timing
from tests.brickworld.barcode import draw_barcode
from tests.brickworld.choices import (
    CAMERAS,
    LIGHTINGS,
    PALETTES,
    SCENES,
    SPEEDS,
    VFR,
    RenderError,
    check,
)
from tests.brickworld.encode import Encoding, write_film
from tests.brickworld.script import Exposure, Shot, Wishes, exposures, random_shots, resolve
from tests.brickworld.truth import ShotTruth, Truth

if TYPE_CHECKING:
    from tests.brickworld.kinds import Array

DEFAULT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class BrickFilm:
    """A brick film. Fields that are None are chosen by the seed; equal films give equal bytes."""

    seed: int = 0
    fps: Fraction = Fraction(24)
    size: tuple[int, int] = (640, 360)
    """Width and height in pixels, even numbers."""
    shots: tuple[Shot, ...] | None = None
    """None: shots of 1.4 to 6 seconds drawn from the seed, `length` seconds in all."""
    length: float | None = None
    """Seconds, for drawn shots."""
    holds: tuple[int, ...] = (2, 3)
    """Frames a drawing is held; each shot takes one. (1,) is ordinary film."""
    vfr: str | None = None
    """None is a constant rate; jitter, half (12 then 30 fps), random-holds or drop-third."""
    palette: str | None = None
    scene: str | None = None
    camera: str | None = None
    lighting: str | None = None
    speed: str = "medium"
    flicker: float = 0.0
    """Standard deviation of the exposure between drawings, as a share; 0.05 is plain to see."""
    fades: float = 0.0
    """Share of drawn shots that begin with a fade through black or a crossfade."""
    flashes: float = 0.0
    """Share of drawn shots with a bright flash inside."""
    noise: float = 1.5
    """Sensor noise, standard deviation in 8-bit levels; held frames share one exposure."""
    held_noise: float = 0.0
    """The same, drawn anew every frame, as from a camera that films in real time."""
    barcode: bool = False
    encoding: Encoding = field(default_factory=Encoding)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fps", Fraction(self.fps))
        check("vfr", self.vfr, VFR)
        check("palette", self.palette, PALETTES)
        check("scene", self.scene, SCENES)
        check("camera", self.camera, CAMERAS)
        check("lighting", self.lighting, LIGHTINGS)
        check("speed", self.speed, SPEEDS)
        if self.fps <= 0:
            raise RenderError(f"fps={self.fps}: give a rate above 0")
        if min(self.size) < 16 or self.size[0] % 2 or self.size[1] % 2:
            raise RenderError(f"size={self.size}: 4:2:0 video wants even numbers of 16 or more")
        if self.shots == () or (self.length is not None and self.length <= 0):
            raise RenderError("a film without a shot: give shots, or a length above 0")
        if not self.holds or min(self.holds) < 1:
            raise RenderError(f"holds={self.holds}: a drawing is held for 1 frame or more")

    @cached_property
    def script(self) -> tuple[Shot, ...]:
        """Return the shots with every field chosen."""
        rng = Random(f"script {self.seed}")
        shots = self.shots or random_shots(
            rng, seconds=self.length or DEFAULT_SECONDS, fades=self.fades, flashes=self.flashes
        )
        wishes = Wishes(
            holds=self.holds,
            scene=self.scene,
            palette=self.palette,
            camera=self.camera,
            lighting=self.lighting,
            speed=self.speed,
        )
        return resolve(shots, wishes, rng)

    @cached_property
    def exposures(self) -> tuple[Exposure, ...]:
        """Return the frames of the film, in order."""
        frames = exposures(self.script, self.fps)
        return tuple(timing.drop_third(frames) if self.vfr == "drop-third" else frames)

    def truth(self, path: Path | None = None) -> Truth:
        """Return the truth of `render(path)`; the suffix decides the time base."""
        frames = self.exposures
        base = timing.time_base(self.fps, path.suffix.lower() if path else ".mp4")
        rng = Random(f"clock {self.seed}")
        times = timing.shown_at(len(frames), self.fps, self.vfr, rng)
        return Truth(
            path=path,
            fps=self.fps,
            cuts=tuple(n for n in range(1, len(frames)) if _is_cut(frames[n - 1], frames[n])),
            ignore=tuple(n for n, frame in enumerate(frames) if frame.joins),
            new_drawing=tuple(
                n == 0 or frames[n][:2] != frames[n - 1][:2] for n in range(len(frames))
            ),
            pts=timing.ticks(times, base),
            time_base=base,
            shots=tuple(self._shots()),
        )

    def _shots(self) -> Iterator[ShotTruth]:
        from tests.brickworld.captions import caption

        for number, shot in enumerate(self.script):
            own = [n for n, f in enumerate(self.exposures) if f.shot == number and not f.joins]
            if own:
                yield ShotTruth(
                    start=own[0],
                    end=own[-1] + 1,
                    kind=shot.kind,
                    hold=shot.hold or 1,
                    caption=caption(shot, seed=self.seed),
                    scene=shot.scene or "",
                    transition=shot.transition if number else "cut",
                )

    def pictures(self) -> Iterator[Array]:
        """Yield every frame as [H, W, 3] uint8 RGB."""
        from tests.brickworld.picture import Camera

        camera = Camera(self)
        for number, frame in enumerate(self.exposures):
            picture = camera.expose(frame, number)
            if self.barcode:
                draw_barcode(picture, number)
            yield picture

    def render(self, path: Path | str, **encoding: object) -> Truth:
        """Encode the film; `encoding` overrides fields of Encoding: crf, gop, bframes, codec."""
        path = Path(path)
        truth = self.truth(path)
        write_film(
            path,
            self.pictures(),
            pts=truth.pts,
            base=truth.time_base,
            fps=self.fps,
            size=self.size,
            encoding=replace(self.encoding, **encoding),  # type: ignore[arg-type]
        )
        return truth


def _is_cut(before: Exposure, after: Exposure) -> bool:
    return before.shot != after.shot and not (before.joins or after.joins)
