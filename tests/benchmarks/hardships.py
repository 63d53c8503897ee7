"""Films with the troubles of real brick films, that shot detection is tuned and judged on.

Each is animated at 12 or 15 drawings a second, treated drawing by drawing, stored at another rate
and compressed as a site would.
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

from tests.benchmarks import treatments
from tests.benchmarks.corpus import KINDS, Cell, Drawn, Split
from tests.benchmarks.treatments import Moment, Treatment
from tests.brickworld import BrickFilm, Shot

Array = NDArray[Any]
SIZE = (480, 270)
FIRST_SEED: dict[Split, int] = {"tuning": 20_000, "judging": 70_000}
NTSC = Fraction(30_000, 1001)
RATES = (
    (15, NTSC),
    (12, Fraction(24)),
    (15, Fraction(24)),
    (12, Fraction(25)),
    (12, NTSC),
    (15, Fraction(30)),
)
"""Drawings a second, and frames a second of the file; most do not divide."""
SITE = (280_000,)
"""Bits a second of each generation: 500 kb/s at 360 lines are these at 270."""
COPIED = (280_000, 200_000, 140_000)


@dataclass(frozen=True)
class Hardship:
    """One trouble: which shots, what is done to each drawing, and how the file is made."""

    name: str
    treat: tuple[Treatment, ...] = ()
    script: Callable[[Random, float], tuple[Shot, ...]] | None = None
    zooms: Callable[[int], bool] = lambda shot: False
    """Which shots are close-ups, where `treat` makes some."""
    film: tuple[tuple[str, Any], ...] = ()
    blended: bool = False
    """Whether the change of rate mixes neighbours."""
    bits: tuple[int, ...] = SITE


def alternating(
    rng: Random, seconds: float, *, least: float, most: float, views: int
) -> tuple[Shot, ...]:
    """Shots in turn from `views` places of one set."""
    shots: list[Shot] = []
    while sum(s.seconds for s in shots) < seconds:
        view = len(shots) % views
        shots.append(Shot(seconds=rng.uniform(least, most), view=view))
    return tuple(shots)


def still_scenes(rng: Random, seconds: float) -> tuple[Shot, ...]:
    return tuple(
        Shot(seconds=rng.uniform(1.4, 4), kind="frozen") for _ in range(round(seconds / 2.7))
    )


def with_cards(rng: Random, seconds: float) -> tuple[Shot, ...]:
    """Title cards between the shots, as in old films."""
    shots: list[Shot] = []
    for number in range(round(seconds / 5)):
        words = f"Part {number + 1}: " + rng.choice(("the tower", "at sea", "a plan", "home"))
        shots += [Shot(seconds=rng.uniform(1, 2), kind="title", words=words)]
        shots += [Shot(seconds=rng.uniform(1.5, 4)) for _ in range(2)]
    return tuple(shots)


def paired(rng: Random, seconds: float) -> tuple[Shot, ...]:
    """Each view twice: whole, then near (`zooms`): a punch-in."""
    shots: list[Shot] = []
    while sum(s.seconds for s in shots) < seconds:
        view = rng.choice([v for v in range(4) if not shots or v != shots[-1].view])
        shots += [Shot(seconds=rng.uniform(1, 3), view=view) for _ in range(2)]
    return tuple(shots)


quick = partial(alternating, least=0.5, most=1.3, views=2)
odd: Callable[[int], bool] = lambda shot: shot % 2 == 1  # noqa: E731

HARDSHIPS = (
    Hardship("rates"),
    Hardship("blended rates", blended=True),
    Hardship("copied copies", bits=COPIED),
    Hardship("dim sets", (treatments.dim,)),
    Hardship("knocked camera", (treatments.bumped,)),
    Hardship("talking heads", (treatments.talking,), still_scenes),
    Hardship("fast entrances", (treatments.entering,)),
    Hardship("quick close-ups", (treatments.close_up,), quick, lambda shot: True),
    Hardship("punch-ins", (treatments.close_up,), paired, odd),
    Hardship("quick views", (), quick),
    Hardship("pumping exposure", (treatments.pumping,)),
    Hardship("focus pulls", (treatments.focus_pull,)),
    Hardship("subtitles", (treatments.subtitled,)),
    Hardship("shooting", (treatments.shooting,)),
    Hardship("chases", (treatments.chase,)),
    Hardship("title cards", (), with_cards),
    Hardship(
        "all at once",
        (treatments.bumped, treatments.entering, treatments.shooting, treatments.pumping),
        film=(("flicker", 0.03), ("fades", 0.2)),
        bits=COPIED,
    ),
)


def hardships(
    folder: Path, split: Split, *, films: int = 3, seconds: float = 20, only: str = ""
) -> Iterator[Drawn]:
    """The split's films, drawn where the folder lacks them: `films` for every trouble."""
    folder.mkdir(parents=True, exist_ok=True)
    for row, hardship in enumerate(HARDSHIPS):
        for number in range(films):
            if only in hardship.name:
                yield _drawn(folder, split, hardship, 20 * row + number, seconds)


def _drawn(folder: Path, split: Split, hardship: Hardship, number: int, seconds: float) -> Drawn:
    seed = FIRST_SEED[split] + number
    path = folder / f"{split}-{hardship.name.replace(' ', '-')}-{seed}.mp4"
    if not path.exists():
        facts = write(path, split, hardship, seed, seconds)
        path.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return Drawn(Cell(hardship.name, 0.90), path, facts)


def write(
    path: Path, split: Split, hardship: Hardship, seed: int, seconds: float
) -> dict[str, Any]:
    """Draw one film; its truth: cuts, frames of fades, kind."""
    rng = Random(f"hardship {seed}")
    drawings, fps = RATES[seed % len(RATES)]
    look = {name: rng.choice(words) for name, words in KINDS[split].items()}
    film = BrickFilm(
        seed=seed,
        fps=Fraction(drawings),
        holds=(1,),
        length=seconds,
        shots=hardship.script(rng, seconds) if hardship.script else None,
        size=SIZE,
        speed=rng.choice(("slow", "medium")),
        **{**look, **dict(hardship.film)},  # type: ignore[arg-type]
    )
    drawn = [treated(p, hardship, film, n) for n, p in enumerate(film.pictures())]
    step = drawings / fps
    places = [n * step for n in range(int(len(drawn) / step))]
    shown = (_shown(drawn, place, step, hardship.blended) for place in places)
    generations(path, shown, fps, hardship.bits)
    return stored_truth(film, [int(place) for place in places])


def treated(picture: Array, hardship: Hardship, film: BrickFilm, n: int) -> Array:
    """One drawing through all of its film's troubles."""
    exposure = film.exposures[n]
    shot = film.script[exposure.shot]
    first = next(m for m, e in enumerate(film.exposures) if e.shot == exposure.shot)
    length = sum(e.shot == exposure.shot for e in film.exposures)
    zoomed = hardship.zooms(exposure.shot)
    at = Moment(film.seed, exposure.shot, shot.view or 0, zoomed, n - first, length)
    for treat in hardship.treat:
        picture = treat(picture, at)
    return picture


def stored_truth(film: BrickFilm, places: list[int]) -> dict[str, Any]:
    """Where the drawings' cuts lie in the file."""
    truth = film.truth()
    cuts = [next(n for n, place in enumerate(places) if place >= cut) for cut in truth.cuts]
    ignored = set(truth.ignore)
    ignore = [n for n, place in enumerate(places) if place in ignored]
    return {"cuts": cuts, "ignore": ignore, "kind": "stop-motion"}


def _shown(drawn: list[Array], place: Fraction, step: Fraction, blended: bool) -> Array:
    """The drawing at a place; blended, what a frame's whole time sees of two, by their shares."""
    n = int(place)
    later = float((place + step - n - 1) / step)
    if not blended or later <= 0 or n + 1 >= len(drawn):
        return drawn[n]
    return np.asarray(drawn[n] * (1 - later) + drawn[n + 1] * later, np.uint8)


def generations(path: Path, shown: Iterator[Array], fps: Fraction, bits: tuple[int, ...]) -> None:
    """Encode, then encode what came out, once for each rate."""
    pictures = shown
    for number, rate in enumerate(bits):
        target = path.with_suffix(f".{number}.part.mp4")
        compress(target, pictures, fps, rate)
        pictures = decoded(target)
    target.replace(path)
    for number in range(len(bits) - 1):
        path.with_suffix(f".{number}.part.mp4").unlink()


def compress(path: Path, pictures: Iterator[Array], fps: Fraction, bits: int) -> None:
    """H.264 at an average rate, a keyframe every five seconds, as sites do."""
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
