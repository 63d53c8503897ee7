"""Render stop motion with the degradations of real brick films.

It is animated at 12 or 15 unique frames a second, degraded frame by frame, stored at another rate
and compressed as a video site would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.benchmarks import effects
from tests.benchmarks.corpus import KINDS, Cell, RenderedFilm, Split
from tests.benchmarks.effects import Effect, EffectContext
from tests.brickworld import BrickFilm, Shot

Array = NDArray[Any]
SIZE = (480, 270)
FIRST_SEED: dict[Split, int] = {"tuning": 20_000, "test": 70_000}
NTSC = Fraction(30_000, 1001)
RATES = (
    (15, NTSC),
    (12, Fraction(24)),
    (15, Fraction(24)),
    (12, Fraction(25)),
    (12, NTSC),
    (15, Fraction(30)),
)
"""Unique frames a second, and the file's frame rate; most do not divide."""
SITE = (280_000,)
"""Bits a second of each encode: 500 kbit/s at 360 lines, scaled to 270."""
COPIED = (280_000, 200_000, 140_000)


@dataclass(frozen=True)
class Degradation:
    """A degradation: the shots, the effects on each unique frame, and the encoding."""

    name: str
    effects: tuple[Effect, ...] = ()
    script: Callable[[Random, float], tuple[Shot, ...]] | None = None
    is_close_up: Callable[[int], bool] = lambda shot: False
    """Shots that `effects.close_up` zooms into."""
    film: tuple[tuple[str, Any], ...] = ()
    blended: bool = False
    """True if the frame rate conversion blends neighbours."""
    bits: tuple[int, ...] = SITE


def alternating(
    rng: Random, seconds: float, *, min_seconds: float, max_seconds: float, views: int
) -> tuple[Shot, ...]:
    """Return shots that alternate between `views` views of one set."""
    shots: list[Shot] = []
    while sum(s.seconds for s in shots) < seconds:
        view = len(shots) % views
        shots.append(Shot(seconds=rng.uniform(min_seconds, max_seconds), view=view))
    return tuple(shots)


def still_scenes(rng: Random, seconds: float) -> tuple[Shot, ...]:
    return tuple(
        Shot(seconds=rng.uniform(1.4, 4), kind="frozen") for _ in range(round(seconds / 2.7))
    )


def with_cards(rng: Random, seconds: float) -> tuple[Shot, ...]:
    """Return shots with title cards between them, as in silent films."""
    shots: list[Shot] = []
    for number in range(round(seconds / 5)):
        words = f"Part {number + 1}: " + rng.choice(("the tower", "at sea", "a plan", "home"))
        shots += [Shot(seconds=rng.uniform(1, 2), kind="title", words=words)]
        shots += [Shot(seconds=rng.uniform(1.5, 4)) for _ in range(2)]
    return tuple(shots)


def paired(rng: Random, seconds: float) -> tuple[Shot, ...]:
    """Return each view twice, wide and as a close-up: a punch-in."""
    shots: list[Shot] = []
    while sum(s.seconds for s in shots) < seconds:
        view = rng.choice([v for v in range(4) if not shots or v != shots[-1].view])
        shots += [Shot(seconds=rng.uniform(1, 3), view=view) for _ in range(2)]
    return tuple(shots)


quick = partial(alternating, min_seconds=0.5, max_seconds=1.3, views=2)
odd: Callable[[int], bool] = lambda shot: shot % 2 == 1  # noqa: E731

DEGRADATIONS = (
    Degradation("rates"),
    Degradation("blended rates", blended=True),
    Degradation("copied copies", bits=COPIED),
    Degradation("dim sets", (effects.dim,)),
    Degradation("knocked camera", (effects.bumped,)),
    Degradation("talking heads", (effects.talking,), still_scenes),
    Degradation("fast entrances", (effects.entering,)),
    Degradation("quick close-ups", (effects.close_up,), quick, lambda shot: True),
    Degradation("punch-ins", (effects.close_up,), paired, odd),
    Degradation("quick views", (), quick),
    Degradation("pumping exposure", (effects.pumping,)),
    Degradation("focus pulls", (effects.focus_pull,)),
    Degradation("subtitles", (effects.subtitled,)),
    Degradation("shooting", (effects.shooting,)),
    Degradation("chases", (effects.chase,)),
    Degradation("title cards", (), with_cards),
    Degradation(
        "all at once",
        (effects.bumped, effects.entering, effects.shooting, effects.pumping),
        film=(("flicker", 0.03), ("fades", 0.2)),
        bits=COPIED,
    ),
)


def degraded_films(
    folder: Path, split: Split, *, films: int = 3, seconds: float = 20, only: str = ""
) -> Iterator[RenderedFilm]:
    """Yield the split's videos, rendered where needed: `films` per degradation."""
    folder.mkdir(parents=True, exist_ok=True)
    for row, degradation in enumerate(DEGRADATIONS):
        for number in range(films):
            if only in degradation.name:
                yield _render_once(folder, split, degradation, 20 * row + number, seconds)


def _render_once(
    folder: Path, split: Split, degradation: Degradation, number: int, seconds: float
) -> RenderedFilm:
    seed = FIRST_SEED[split] + number
    path = folder / f"{split}-{degradation.name.replace(' ', '-')}-{seed}.mp4"
    if not path.exists():
        facts = write(path, split, degradation, seed, seconds)
        path.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return RenderedFilm(Cell(degradation.name, 0.90), path, facts)


def write(
    path: Path, split: Split, degradation: Degradation, seed: int, seconds: float
) -> dict[str, Any]:
    """Render one video; return its truth: cuts, frames of fades, kind."""
    rng = Random(f"hardship {seed}")
    drawings, fps = RATES[seed % len(RATES)]
    look = {name: rng.choice(words) for name, words in KINDS[split].items()}
    film = BrickFilm(
        seed=seed,
        fps=Fraction(drawings),
        holds=(1,),
        length=seconds,
        shots=degradation.script(rng, seconds) if degradation.script else None,
        size=SIZE,
        speed=rng.choice(("slow", "medium")),
        **{**look, **dict(degradation.film)},  # type: ignore[arg-type]
    )
    frames = [degraded(p, degradation, film, n) for n, p in enumerate(film.pictures())]
    step = drawings / fps
    positions = [n * step for n in range(int(len(frames) / step))]
    shown = (_frame_at(frames, position, step, degradation.blended) for position in positions)
    encode_repeatedly(path, shown, fps, degradation.bits)
    return stored_truth(film, [int(position) for position in positions])


def degraded(picture: Array, degradation: Degradation, film: BrickFilm, n: int) -> Array:
    """Apply all effects of a degradation to one unique frame."""
    exposure = film.exposures[n]
    shot = film.script[exposure.shot]
    first = next(m for m, e in enumerate(film.exposures) if e.shot == exposure.shot)
    length = sum(e.shot == exposure.shot for e in film.exposures)
    close = degradation.is_close_up(exposure.shot)
    context = EffectContext(film.seed, exposure.shot, shot.view or 0, close, n - first, length)
    for effect in degradation.effects:
        picture = effect(picture, context)
    return picture


def stored_truth(film: BrickFilm, positions: list[int]) -> dict[str, Any]:
    """Return the truth in frames of the file."""
    truth = film.truth()
    cuts = [
        next(n for n, position in enumerate(positions) if position >= cut) for cut in truth.cuts
    ]
    ignored = set(truth.ignore)
    ignore = [n for n, position in enumerate(positions) if position in ignored]
    return {"cuts": cuts, "ignore": ignore, "kind": "stop-motion"}


def _frame_at(frames: list[Array], position: Fraction, step: Fraction, blended: bool) -> Array:
    """Return the frame at a position; blended, the mean of two, weighted by their time."""
    n = int(position)
    later = float((position + step - n - 1) / step)
    if not blended or later <= 0 or n + 1 >= len(frames):
        return frames[n]
    return np.asarray(frames[n] * (1 - later) + frames[n + 1] * later, np.uint8)


def encode_repeatedly(
    path: Path, pictures: Iterator[Array], fps: Fraction, bits: tuple[int, ...]
) -> None:
    """Encode, decode and encode again, once for each bit rate."""
    for number, rate in enumerate(bits):
        target = path.with_suffix(f".{number}.part.mp4")
        compress(target, pictures, fps, rate)
        pictures = decoded(target)
    target.replace(path)
    for number in range(len(bits) - 1):
        path.with_suffix(f".{number}.part.mp4").unlink()


def compress(path: Path, pictures: Iterator[Array], fps: Fraction, bits: int) -> None:
    """Encode H.264 at an average bit rate with a keyframe every five seconds, as sites do."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "fast"})
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.bit_rate = "yuv420p", bits
        stream.codec_context.gop_size = round(5 * fps)
        stream.codec_context.thread_count = 2
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def decoded(path: Path) -> Iterator[Array]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")
