"""Draw videos of flat scenes (`tests/brickworld/papers.py`) that no rule was fitted on.

python -m tests.benchmarks.shots --papers
python -m tests.benchmarks.paper_cells docs/shots-errors.jpg     # pictures of known errors
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np
import typer

from tests.benchmarks.corpus import Cell, RenderedFilm
from tests.brickworld import papers
from tests.brickworld.encode import Encoding, write_film
from tests.brickworld.kinds import Array
from tests.brickworld.papers import Scene

FPS = 24
GRAIN = 1.5
"""Levels of noise that differ from frame to frame, as a sensor's."""
FIRST_SEED = 3000
PaperShot = tuple[Scene, int, int]
"""Scene, frames, and frames that each pose is held."""


def _shots(seed: int) -> dict[str, list[PaperShot]]:
    """Return the shots of one video of each cell."""
    one, two, three = (papers.table(seed + n) for n in range(3))
    drawings = [papers.pale_drawing(seed + n) for n in range(3)]
    return {
        "plain cards": [(papers.plain_card(seed + n), 48, 12) for n in range(5)],
        "folded paper": [(papers.folded_paper(seed + n), 80, 6) for n in range(3)],
        "clay": [(papers.clay(seed + n), 80, 3) for n in range(3)],
        "pale drawings": [(drawings[0], 60, 2), (one, 60, 2), (drawings[1], 60, 3), (two, 60, 3)],
        "drawings on one ground": [(drawing, 60, 3) for drawing in drawings],
        "exposure jumps": [(papers.with_exposure_jumps(s), 80, 3) for s in (one, two, three)],
        "exposure jumps on cards": [
            (papers.with_exposure_jumps(papers.plain_card(seed + n)), 80, 6) for n in range(3)
        ],
        "white balance jumps": [
            (papers.with_white_balance_jumps(s), 80, 3) for s in (one, two, three)
        ],
        "discs": [(papers.with_disc(s), 80, 2) for s in (one, two, three)],
        "nudges": [(papers.with_nudges(s), 80, 2) for s in (one, two, three)],
        "three-frame first shot": [(papers.plain_card(seed), 3, 3), (one, 80, 2), (two, 80, 3)],
    }


def paper_films(
    folder: Path, split: str, *, films: int = 3, only: str = ""
) -> Iterator[RenderedFilm]:
    """Yield `films` videos of each cell, drawn where needed; there is one split."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _shots(0):
        for number in range(films):
            if only in name:
                yield _draw_once(folder, name, FIRST_SEED + 7 * number)


def _draw_once(folder: Path, name: str, seed: int) -> RenderedFilm:
    path = folder / f"paper-{name.replace(' ', '-')}-{seed}.mp4"
    shots = _shots(seed)[name]
    cuts = list(accumulate(length for _, length, _ in shots))[:-1]
    if not path.exists():
        pictures = list(_pictures(shots, seed))
        base, size = Fraction(1, FPS), papers.SIZE
        write_film(
            path.with_suffix(".part.mp4"),
            pictures,
            pts=range(len(pictures)),
            base=base,
            fps=Fraction(FPS),
            size=size,
            encoding=Encoding(crf=26),
        )
        path.with_suffix(".part.mp4").replace(path)
    truth = {"cuts": cuts, "ignore": [], "kind": "stop-motion"}
    path.with_suffix(".json").write_text(json.dumps(truth), encoding="utf-8")
    return RenderedFilm(Cell(name, 0.95), path, truth)


def _pictures(shots: Sequence[PaperShot], seed: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    for scene, length, hold in shots:
        poses = [scene(pose) for pose in range(-(-length // hold))]
        for frame in range(length):
            noise = rng.normal(0, GRAIN, (*poses[0].shape[:2], 1))
            yield np.clip(poses[frame // hold] + noise, 0, 255).astype(np.uint8)


def errors_picture(path: Path) -> None:
    """Write pictures of what `layout` gets wrong: a row each, one frame beside the next."""
    drawings = [papers.pale_drawing(FIRST_SEED + n)(0) for n in range(2)]
    disc = papers.with_disc(papers.table(FIRST_SEED))
    nearer = cv2.resize(disc(0)[20:160, 36:284], papers.SIZE)
    rows = [drawings, [disc(4), disc(6)], [disc(0), nearer]]
    sheet = np.vstack(
        [np.hstack([np.pad(p, ((3, 3), (3, 3), (0, 0))) for p in row]) for row in rows]
    )
    if not cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise typer.BadParameter(f"{path} cannot be written: give a .jpg in a folder that exists")


if __name__ == "__main__":
    typer.run(errors_picture)
