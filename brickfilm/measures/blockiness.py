"""Measure the blocks that strong compression leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores, sampled

BLOCK = 8
"""Pixels along the blocks of MPEG-2, MPEG-4 and JPEG; those of H.264 are halves or multiples."""
SAMPLE_SECONDS = 0.25
"""Blocks are those of the whole clip: four samples a second find them."""
MIN_DETAIL = 0.1
"""Levels added to both sides of the ratio, so that a flat picture has no blocks."""


@dataclass(frozen=True, kw_only=True)
class Blockiness(Measure):
    """Compute the excess of steps at the edges of 8 x 8 blocks over those inside them.

    A step is the difference of two neighbouring pixels minus that of the pixels beside them, so
    that gradients do not count; 0 means that block edges are like any other place, 1 that steps
    there are twice as high. Blocks are found at the size of the file: scaling it moves them.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("edges", "inside")
    provides: ClassVar[tuple[str, ...]] = ("blockiness",)
    with_bands: ClassVar[bool] = True

    def begin(self, video: Video) -> FrameFunction:
        return sampled(lambda frame: _mean_steps(frame.bands), SAMPLE_SECONDS, video)

    def summarise(self, metrics: FrameMetrics) -> Scores:
        edges, inside = metrics.values[metrics.is_unique].mean(axis=0) + MIN_DETAIL
        return {"blockiness": round(max(0.0, float(edges / inside) - 1), 4)}


def _mean_steps(bands: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the mean step at block edges, and at other places, of bands [n, 16, W]."""
    import cv2

    width = bands.shape[2]
    lines = bands[:, ::2].reshape(-1, width).astype(np.int16)
    steps = cv2.absdiff(lines[:, 1:], lines[:, :-1])  # column n: pixel n + 1 against n
    around = (steps[:, :-2] + steps[:, 2:]) >> 1
    above = cv2.max(steps[:, 1:-1] - around, 0)
    excess = cv2.reduce(above, 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F)
    at_edge = np.arange(1, width - 2) % BLOCK == BLOCK - 1
    return float(excess[0, at_edge].mean()), float(excess[0, ~at_edge].mean())
