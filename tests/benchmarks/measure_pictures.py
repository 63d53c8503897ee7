"""Draw the pictures of docs/measures.md: three drawn values of each score, and what was measured.

python -m tests.benchmarks.measure_pictures [FOLDER]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import typer

from tests.brickfilm.measures.drawn import HEIGHT, WIDTH, Picture
from tests.brickfilm.measures.test_drawn_videos import CASES, Case, score
from tests.kit import ROOT

SIZE = (200, 112)
LINE = 18
"""Pixels of the line below each picture."""


def main(folder: Path = ROOT / "docs/measures") -> None:
    """Write a strip for each score that can be seen."""
    folder.mkdir(exist_ok=True)
    for case in CASES:
        if case.score not in ("vmaf_motion", "letterbox_top", "drawing_fps"):
            strip = np.hstack([_panel(case, value) for value in case.drawn])
            path = folder / f"{case.score}.jpg"
            cv2.imwrite(str(path), strip, [cv2.IMWRITE_JPEG_QUALITY, 70])


def _panel(case: Case, value: float) -> Picture:
    """Return the first and the last frame, blended, above the measured score."""
    pictures = case.draw(value)
    blend = cv2.addWeighted(pictures[0], 0.5, pictures[-1], 0.5, 0)
    if case.is_of_the_file:  # its structure is that of pixels
        blend = pictures[-1][: HEIGHT // 4, : WIDTH // 4]
    size_of_pixels = cv2.INTER_NEAREST if case.is_of_the_file else cv2.INTER_AREA
    panel = np.full((SIZE[1] + LINE, SIZE[0] + 4, 3), 255, np.uint8)
    panel[: SIZE[1], : SIZE[0]] = cv2.resize(blend, SIZE, interpolation=size_of_pixels)
    with tempfile.TemporaryDirectory() as work:
        text = f"{score(case, value, Path(work)):.3g}"
    cv2.putText(panel, text, (2, SIZE[1] + 13), 0, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return panel


if __name__ == "__main__":
    typer.run(main)
