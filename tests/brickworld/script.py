"""A film's script: its shots, given or chosen by a seed, and their frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random
from typing import NamedTuple

from tests.brickworld.choices import (
    CAMERAS,
    JOINS,
    KINDS,
    LIGHTINGS,
    PALETTES,
    SCENES,
    SPEEDS,
    RenderError,
    check,
)

VIEWS = 4
"""Camera positions of every set."""
FADE_SECONDS = 0.5
"""Length of a fade to black, of a fade from black, of a crossfade and of a wipe."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One shot. Fields that are None are the film's, or chosen by its seed."""

    kind: str = "action"
    """action, frozen (a set where nothing moves) or title (a card with `caption`'s words on it)."""
    seconds: float = 3.0
    frames: int | None = None
    """Exact length; wins over `seconds`."""
    hold: int | None = None
    transition: str = "cut"
    """Transition before the shot: cut, fade (through black), crossfade or wipe (from the left)."""
    scene: str | None = None
    palette: str | None = None
    camera: str | None = None
    lighting: str | None = None
    speed: str | None = None
    view: int | None = None
    """Number of the set's camera position; every set has several."""
    flash: bool = False
    """A bright flash of one drawing somewhere inside the shot: no cut."""
    caption: str | None = None
    """The caption; None: composed from the set."""
    words: str = ""
    """Text of a title card."""

    def __post_init__(self) -> None:
        check("kind", self.kind, KINDS)
        check("transition", self.transition, JOINS)
        check("scene", self.scene, SCENES)
        check("palette", self.palette, PALETTES)
        check("camera", self.camera, CAMERAS)
        check("lighting", self.lighting, LIGHTINGS)
        check("speed", self.speed, SPEEDS)
        if self.seconds <= 0 or (self.frames is not None and self.frames < 1):
            raise RenderError("a shot has at least one frame: give seconds > 0 or frames >= 1")
        if self.hold is not None and self.hold < 1:
            raise RenderError(f"hold={self.hold}: a drawing is held for 1 frame or more")

    def length(self, fps: Fraction) -> int:
        """Frames of the shot."""
        return self.frames if self.frames is not None else max(1, round(self.seconds * fps))


class Exposure(NamedTuple):
    """One frame of the film: its shot and drawing, and its part in a transition."""

    shot: int
    drawing: int
    level: float = 1.0
    """Brightness of a fade, 0 is black."""
    over: tuple[int, int] | None = None
    """(shot, drawing) of the next shot in a crossfade or wipe."""
    mix: float = 0.0
    """Share of `over`."""
    wipes: bool = False
    """True if `over` covers its share of the columns, from the left, instead of being mixed in."""
    joins: bool = False
    """Part of a fade, crossfade or wipe."""


def random_shots(rng: Random, *, seconds: float, fades: float, flashes: float) -> tuple[Shot, ...]:
    """Shots of 1.4 to 6 s that come to `seconds`; a share of `fades` begins with a fade."""
    shots: list[Shot] = []
    left = seconds
    while left > 0:
        long = min(rng.uniform(1.4, 6), left)
        if left - long < 1.4:
            long = left
        join = rng.choice(("fade", "crossfade")) if shots and rng.random() < fades else "cut"
        shots.append(Shot(seconds=long, transition=join, flash=rng.random() < flashes))
        left -= long
    return tuple(shots)


def exposures(shots: tuple[Shot, ...], fps: Fraction) -> list[Exposure]:
    """The film frame by frame. Shots' holds must be set."""
    frames: list[Exposure] = []
    for number, shot in enumerate(shots):
        hold = shot.hold or 1
        own = [_exposure(number, n, hold, shot.kind) for n in range(shot.length(fps))]
        join(frames, own, shot.transition, round(FADE_SECONDS * fps))
        frames += own
    return frames


def _exposure(shot: int, n: int, hold: int, kind: str) -> Exposure:
    """Frame `n` of a shot; a frozen shot and a card have a single drawing."""
    return Exposure(shot, n // hold if kind == "action" else 0)


def join(before: list[Exposure], after: list[Exposure], how: str, long: int) -> None:
    """Fade the end of `before` into the start of `after`, in place."""
    if how == "cut" or not before:
        return
    last = sum(frame.shot == before[-1].shot and not frame.joins for frame in before)
    long = min(long, len(after) // 3, last // 3)
    if how == "fade":
        for n in range(long):
            level = (n + 0.5) / long
            before[-1 - n] = before[-1 - n]._replace(level=level, joins=True)
            after[n] = after[n]._replace(level=level, joins=True)
        return
    for n in range(long):
        ahead = after[n]
        mixed = before[n - long]._replace(
            over=(ahead.shot, ahead.drawing), joins=True, wipes=how == "wipe"
        )
        before[n - long] = mixed._replace(mix=(n + 1) / (long + 1))
    del after[:long]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Settings of a film for all its shots; None leaves a choice to the seed."""

    holds: tuple[int, ...]
    scene: str | None
    palette: str | None
    camera: str | None
    lighting: str | None
    speed: str


def resolve(shots: tuple[Shot, ...], wishes: Wishes, rng: Random) -> tuple[Shot, ...]:
    """The shots with every None filled: from the film's wishes, else from the seed.

    A film without a scene of its own moves to another set now and then. Two neighbours never share
    a camera position: a cut between them would not be one.
    """
    scene = wishes.scene or rng.choice(SCENES)
    palette = wishes.palette or rng.choice(PALETTES)
    lighting = wishes.lighting or rng.choice(LIGHTINGS)
    done: list[Shot] = []
    for shot in shots:
        if not wishes.scene and rng.random() < 0.2:
            scene = rng.choice(SCENES)
        choices: dict[str, object] = {
            "hold": rng.choice(wishes.holds),
            "scene": scene,
            "palette": palette,
            "camera": wishes.camera or rng.choice(CAMERAS),
            "lighting": lighting,
            "speed": wishes.speed,
            "view": _other_view(shot.scene or scene, done[-1] if done else None, rng),
        }
        missing = {name: value for name, value in choices.items() if getattr(shot, name) is None}
        done.append(replace(shot, **missing))  # type: ignore[arg-type]
    return tuple(done)


def _other_view(scene: str, before: Shot | None, rng: Random) -> int:
    taken = before.view if before and before.scene == scene and before.kind != "title" else None
    return rng.choice([view for view in range(VIEWS) if view != taken])
