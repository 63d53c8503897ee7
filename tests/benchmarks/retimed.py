"""Stop motion made of real films: their shots, animated anew and cut together in another order.

    python -m tests.benchmarks.retimed --films DIR --truth FILE.json --out OUT [--split tuning]
    python -m tests.benchmarks.shots --films OUT --truth OUT/truth.json

What is drawn proves little about real texture. So every second to sixth frame of a real shot stands
for a drawing, is held, and suffers one trouble; the truth is known, for the cuts are made here.
`DIR` and `FILE.json` are ordinary films and their cuts, as `tests.benchmarks.shots` takes them.
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
from tests.benchmarks import treatments
from tests.benchmarks.corpus import Split
from tests.benchmarks.hardships import NTSC, SIZE, compress
from tests.benchmarks.shots import Film, labelled
from tests.benchmarks.treatments import Moment, Treatment

Array = NDArray[Any]
TROUBLES: dict[str, tuple[Treatment, ...]] = {
    "plain": (),
    "flicker": (treatments.flickering,),
    "nudges": (treatments.nudged,),
    "hands": (treatments.reached_into,),
    "low-rate": (),
    "several": (treatments.flickering, treatments.nudged, treatments.reached_into),
}
BITS = {"low-rate": 200_000, "several": 280_000}
"""Bits a second; of the others, twice as many."""
HOLDS = ((2,), (3,), (4,), (2, 3), (1, 2), (2, 3, 4))
RATES = (Fraction(24), Fraction(25), NTSC, Fraction(30))
FIRST_SEED: dict[Split, int] = {"tuning": 30_000, "judging": 80_000}
LEAST = 20
"""Frames of a shot that is worth animating."""


@dataclass(frozen=True)
class Place:
    """A shot of a real film, or the part of its picture that a camera standing nearer sees."""

    film: Path
    start: int
    end: int
    part: tuple[float, float, float]
    """Left, top and size, as shares of the picture."""

    def is_like(self, other: Place) -> bool:
        """Whether the two show the same things, so that no cut would be seen between them."""
        (x, y, size), (left, top, high) = self.part, other.part
        apart = max(x - left - high, left - x - size, y - top - high, top - y - size)
        return (self.film, self.start) == (other.film, other.start) and apart < 0


PARTS = [(0.0, 0.0, 1.0)] * 4 + [(x, y, 0.5) for x in (0.0, 0.5) for y in (0.0, 0.5)]
"""The whole picture, as often as one of its corners."""


def places(film: Film) -> list[Place]:
    """All shots of a film that are long enough, seen from afar and from near."""
    with open_video(film.path) as opening:
        frames = sum(1 for _ in opening.frames())
    gone = [(n, n + 1) for n in film.ignore]
    return [
        Place(film.path, start, end, part)
        for start, end in shots_without_transitions(gone, film.cuts, frames)
        for part in PARTS
        if end - start >= LEAST
    ]


@dataclass(frozen=True)
class Take:
    """A place, animated: the source's frame of each drawing."""

    place: Place
    frames: tuple[int, ...]


def animated(place: Place, rng: Random) -> Take:
    """Large, uneven steps to and fro through a shot; in some takes one that is a leap."""
    count, stride = rng.randint(8, 40), rng.randint(2, 6)
    steps = [rng.choice((stride - 1, stride, stride + 1)) for _ in range(count)]
    if rng.random() < 0.4:
        steps[count // 2] *= 6
    last = place.end - place.start - 1
    walked = (at % (2 * last) for at in accumulate(steps, initial=rng.randrange(2 * last)))
    return Take(place, tuple(place.start + min(at, 2 * last - at) for at in walked))


def script(choice: list[Place], rng: Random, drawings: int) -> list[Take]:
    """Takes one after another, half of them from the film of the one before."""
    takes = [animated(rng.choice(choice), rng)]
    while sum(len(take.frames) for take in takes) < drawings:
        before = takes[-1].place
        others = [p for p in choice if not p.is_like(before)]
        same = [p for p in others if p.film == before.film]
        takes.append(animated(rng.choice(same if same and rng.random() < 0.5 else others), rng))
    return takes


def drawn(take: Take) -> Iterator[Array]:
    """The take's drawings, [H, W, 3] RGB, in order."""
    wanted = set(take.frames)
    pictures: dict[int, Array] = {}
    with open_video(take.place.film) as film:
        for frame in film.frames():
            if frame.number in wanted:
                pictures[frame.number] = framed(np.asarray(frame.image()), take.place.part)
            if frame.number >= max(wanted):
                break
    return (pictures[n].copy() for n in take.frames)


def framed(picture: Array, part: tuple[float, float, float]) -> Array:
    """A part of a picture, 16:9."""
    height, width = picture.shape[:2]
    left, top, size = part
    seen = picture[int(top * height) :, int(left * width) :][: int(size * height)]
    seen = seen[:, : int(size * width)]
    high = min(seen.shape[0], seen.shape[1] * SIZE[1] // SIZE[0])
    seen = seen[(seen.shape[0] - high) // 2 :][:high, : high * SIZE[0] // SIZE[1]]
    shown: Array = cv2.resize(seen, SIZE, interpolation=cv2.INTER_AREA)
    return shown


def write(
    path: Path, choice: list[Place], trouble: str, seed: int, drawings: int = 300
) -> dict[str, Any]:
    """Make one film of so many drawings or a few more; its truth."""
    rng = Random(f"retimed {seed}")
    holds, fps = rng.choice(HOLDS), rng.choice(RATES)
    takes = script(choice, rng, drawings)
    held = [[rng.choice(holds) for _ in take.frames] for take in takes]
    shown = (
        picture
        for number, (take, stays) in enumerate(zip(takes, held, strict=True))
        for picture, stay in zip(treated(take, trouble, seed, number), stays, strict=True)
        for _ in range(stay)
    )
    compress(path, shown, fps, BITS.get(trouble, 560_000))
    cuts = list(accumulate(map(sum, held)))[:-1]
    return {"cuts": cuts, "kind": "stop-motion"}


def treated(take: Take, trouble: str, seed: int, number: int) -> Iterator[Array]:
    """The take's drawings through the film's trouble."""
    for at, picture in enumerate(drawn(take)):
        moment = Moment(seed, number, 0, False, at, len(take.frames))
        yield reduce(lambda shown, treat: treat(shown, moment), TROUBLES[trouble], picture)


def main(
    films: Annotated[Path, typer.Option(help="Folder of ordinary films.")],
    truth: Annotated[Path, typer.Option(help="Their cuts, as JSON.")],
    out: Annotated[Path, typer.Option(help="Folder for the films made of them.")],
    split: Annotated[str, typer.Option(help="tuning or judging.")] = "judging",
    each: Annotated[int, typer.Option(help="Films for every trouble.")] = 2,
) -> None:
    """Make films of held drawings out of real ones, with their truth beside them."""
    choice = [place for film in labelled(films, truth) for place in places(film)]
    out.mkdir(parents=True, exist_ok=True)
    said: dict[str, Any] = {}
    for row, trouble in enumerate(TROUBLES):
        for number in range(each):
            path = out / f"{trouble}-{number}.mp4"
            seed = FIRST_SEED[split] + 100 * row + number  # type: ignore[index]
            said[path.name] = write(path, choice, trouble, seed)
            print(path, flush=True)
    (out / "truth.json").write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
