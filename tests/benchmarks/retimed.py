"""Make stop motion from ordinary videos: re-time their shots and cut them in another order.

    python -m tests.benchmarks.retimed --films DIR --truth FILE.json --out OUT [--split tuning]
    python -m tests.benchmarks.shots --films OUT --truth OUT/truth.json

Rendered videos lack real texture. Here every second to sixth frame of a real shot becomes a unique
frame that is held and degraded; the truth is known, since the cuts are made here. `DIR` and
`FILE.json` are ordinary videos and their cuts, in the format of `tests.benchmarks.shots`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from brickfilm.detectors.holds.fades import shots_without_transitions
from brickfilm.media import open_video
from tests.benchmarks import effects
from tests.benchmarks.corpus import Split
from tests.benchmarks.degradations import NTSC, SIZE, compress
from tests.benchmarks.effects import Effect, EffectContext
from tests.benchmarks.shots import Film, labelled_films

Array = NDArray[Any]
DEGRADATIONS: dict[str, tuple[Effect, ...]] = {
    "plain": (),
    "flicker": (effects.flickering,),
    "nudges": (effects.nudged,),
    "hands": (effects.reached_into,),
    "low-rate": (),
    "several": (effects.flickering, effects.nudged, effects.reached_into),
}
BITS = {"low-rate": 200_000, "several": 280_000}
"""Bits a second, where not the default."""
DEFAULT_BITS = 560_000
HOLDS = ((2,), (3,), (4,), (2, 3), (1, 2), (2, 3, 4))
RATES = (Fraction(24), Fraction(25), NTSC, Fraction(30))
FIRST_SEED: dict[Split, int] = {"tuning": 30_000, "test": 80_000}
MIN_FRAMES = 20
"""Shortest shot that is re-timed."""


@dataclass(frozen=True)
class SourceShot:
    """A shot of an ordinary video, or a crop of it that stands for a nearer camera."""

    film: Path
    start: int
    end: int
    crop: tuple[float, float, float]
    """Left, top and size, relative to the frame."""

    def overlaps(self, other: SourceShot) -> bool:
        """Return True if both show the same things, so that a cut between them is invisible."""
        (x, y, size), (left, top, high) = self.crop, other.crop
        apart = max(x - left - high, left - x - size, y - top - high, top - y - size)
        return (self.film, self.start) == (other.film, other.start) and apart < 0


CROPS = [(0.0, 0.0, 1.0)] * 4 + [(x, y, 0.5) for x in (0.0, 0.5) for y in (0.0, 0.5)]
"""The full frame, as often as one of its corners."""


def source_shots(film: Film) -> list[SourceShot]:
    """Return all shots of a video that are long enough, in every crop."""
    with open_video(film.path) as reader:
        frames = sum(1 for _ in reader.frames())
    transitions = [(n, n + 1) for n in film.ignore]
    return [
        SourceShot(film.path, start, end, crop)
        for start, end in shots_without_transitions(transitions, film.cuts, frames)
        for crop in CROPS
        if end - start >= MIN_FRAMES
    ]


@dataclass(frozen=True)
class Take:
    """A shot re-timed: the source frame of each unique frame."""

    source: SourceShot
    frames: tuple[int, ...]


def retime(source: SourceShot, rng: Random) -> Take:
    """Step through a shot to and fro, in large, uneven steps; in some takes with one leap."""
    count, stride = rng.randint(8, 40), rng.randint(2, 6)
    steps = [rng.choice((stride - 1, stride, stride + 1)) for _ in range(count)]
    if rng.random() < 0.4:
        steps[count // 2] *= 6
    last = source.end - source.start - 1
    walked = (at % (2 * last) for at in accumulate(steps, initial=rng.randrange(2 * last)))
    return Take(source, tuple(source.start + min(at, 2 * last - at) for at in walked))


def script(sources: list[SourceShot], rng: Random, drawings: int) -> list[Take]:
    """Return takes in order, half of them from the video of the one before."""
    takes = [retime(rng.choice(sources), rng)]
    while sum(len(take.frames) for take in takes) < drawings:
        before = takes[-1].source
        others = [p for p in sources if not p.overlaps(before)]
        same = [p for p in others if p.film == before.film]
        takes.append(retime(rng.choice(same if same and rng.random() < 0.5 else others), rng))
    return takes


def unique_frames(take: Take) -> Iterator[Array]:
    """Yield the take's unique frames, [H, W, 3] RGB."""
    wanted = set(take.frames)
    pictures: dict[int, Array] = {}
    with open_video(take.source.film) as reader:
        for frame in reader.frames():
            if frame.number in wanted:
                pictures[frame.number] = cropped(np.asarray(frame.image()), take.source.crop)
            if frame.number >= max(wanted):
                break
    return (pictures[n].copy() for n in take.frames)


def cropped(picture: Array, crop: tuple[float, float, float]) -> Array:
    """Return a crop of a picture, 16:9."""
    height, width = picture.shape[:2]
    left, top, size = crop
    part = picture[int(top * height) :, int(left * width) :][: int(size * height)]
    part = part[:, : int(size * width)]
    high = min(part.shape[0], part.shape[1] * SIZE[1] // SIZE[0])
    part = part[(part.shape[0] - high) // 2 :][:high, : high * SIZE[0] // SIZE[1]]
    resized: Array = cv2.resize(part, SIZE, interpolation=cv2.INTER_AREA)
    return resized


def write(
    path: Path, sources: list[SourceShot], degradation: str, seed: int, drawings: int = 300
) -> dict[str, Any]:
    """Write one video of at least `drawings` unique frames; return its truth."""
    rng = Random(f"retimed {seed}")
    holds, fps = rng.choice(HOLDS), rng.choice(RATES)
    takes = script(sources, rng, drawings)
    holds_of = [[rng.choice(holds) for _ in take.frames] for take in takes]
    frames = (
        picture
        for number, (take, take_holds) in enumerate(zip(takes, holds_of, strict=True))
        for picture, hold in zip(degraded(take, degradation, seed, number), take_holds, strict=True)
        for _ in range(hold)
    )
    compress(path, frames, fps, BITS.get(degradation, DEFAULT_BITS))
    cuts = list(accumulate(map(sum, holds_of)))[:-1]
    return {"cuts": cuts, "kind": "stop-motion"}


def degraded(take: Take, degradation: str, seed: int, number: int) -> Iterator[Array]:
    """Yield the take's unique frames with the effects of a degradation."""
    for n, picture in enumerate(unique_frames(take)):
        context = EffectContext(seed, number, 0, False, n, len(take.frames))
        yield reduce(lambda p, effect: effect(p, context), DEGRADATIONS[degradation], picture)


def main(
    films: Annotated[Path, typer.Option(help="Folder of ordinary videos.")],
    truth: Annotated[Path, typer.Option(help="Their cuts, as JSON.")],
    out: Annotated[Path, typer.Option(help="Folder for the new videos.")],
    split: Annotated[str, typer.Option(help="tuning or test.")] = "test",
    each: Annotated[int, typer.Option(help="Videos per degradation.")] = 2,
) -> None:
    """Write stop motion made from ordinary videos, with its truth."""
    sources = [shot for film in labelled_films(films, truth) for shot in source_shots(film)]
    out.mkdir(parents=True, exist_ok=True)
    truths: dict[str, Any] = {}
    for row, degradation in enumerate(DEGRADATIONS):
        for number in range(each):
            path = out / f"{degradation}-{number}.mp4"
            seed = FIRST_SEED[split] + 100 * row + number  # type: ignore[index]
            truths[path.name] = write(path, sources, degradation, seed)
            print(path, flush=True)
    (out / "truth.json").write_text(json.dumps(truths), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
