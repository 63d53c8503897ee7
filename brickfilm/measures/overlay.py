"""Measure what stands still over all shots of a video: a logo, a watermark, a band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores

MIN_EDGE = 40
"""Gradient, in levels over two pixels, of the outline of an overlay."""
SCENE_SHARE, CELL_CHANGE = 0.5, 12
"""Share of the cells that change by so many levels where another picture begins."""
MIN_PICTURES = 4
"""Different pictures below which an overlay cannot be told from a set that stands still."""
MIN_PRESENCE = 0.8
"""Share of the pictures around that have an edge of the overlay in the same place."""
WINDOW = 12
"""Pictures before and after that are compared: a logo may come and go."""
CLOSING = 7
"""Pixels of the reduced frame that lie between the outlines of one overlay."""


@dataclass(frozen=True, kw_only=True)
class Overlay(Measure):
    """Compute the share of the picture covered by what stays in place from shot to shot.

    The outlines of different pictures of a video are compared: those in the same place in at least
    MIN_PRESENCE of the pictures around are an overlay's. A video of fewer than MIN_PICTURES
    pictures has none, since its set stands still as well; neither has a subtitle, which changes:
    `text_share` has it.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("share",)
    provides: ClassVar[tuple[str, ...]] = ("overlay_share",)

    def begin(self, video: Video) -> FrameFunction:
        return OverlayFunction()

    def summarise(self, metrics: FrameMetrics) -> Scores:
        return {"overlay_share": round(float(np.median(metrics.values[:, 0])), 4)}


class OverlayFunction:
    """Collect the outlines of each picture; return the shares of all frames at the end."""

    def __init__(self) -> None:
        self._cells: NDArray[np.uint8] | None = None
        self._outlines: list[NDArray[np.uint8]] = []
        """Packed bits, 7 kB a picture."""
        self._frames: list[int] = []
        self._shapes: list[tuple[int, ...]] = []
        """Number of frames of each picture, and its height and width."""

    def __call__(self, frame: ReducedFrame) -> Sequence[float]:
        cells = frame.luma_cells
        if self._is_other(cells, frame.luma.shape):
            self._cells = cells
            self._shapes.append(frame.luma.shape)
            self._outlines.append(np.packbits(_outline(frame.luma)))
            self._frames.append(0)
        self._frames[-1] += 1
        return ()

    def _is_other(self, cells: NDArray[np.uint8], shape: tuple[int, ...]) -> bool:
        import cv2

        if self._cells is None or shape != self._shapes[-1]:
            return True
        changed = np.count_nonzero(cv2.absdiff(cells, self._cells) >= CELL_CHANGE)
        return bool(changed >= SCENE_SHARE * cells.size)

    def finish(self) -> Sequence[float]:
        """Return the share of each frame."""
        shares = [self._share(n) for n in range(len(self._frames))]
        return np.repeat(shares, self._frames).tolist()

    def _share(self, number: int) -> float:
        """Return the share of one picture that the overlay of those around covers."""
        import cv2

        shape = self._shapes[number]
        window = range(max(0, number - WINDOW), min(number + WINDOW + 1, len(self._shapes)))
        around = [self._outlines[n] for n in window if self._shapes[n] == shape]
        if len(around) < MIN_PICTURES:
            return 0.0
        bits = np.unpackbits(np.stack(around), axis=1, count=shape[0] * shape[1])
        counts = bits.sum(axis=0, dtype=np.uint8)
        image = (counts >= MIN_PRESENCE * len(around)).reshape(shape).astype(np.uint8)
        closed = cv2.morphologyEx(image, cv2.MORPH_CLOSE, np.ones((CLOSING, CLOSING), np.uint8))
        return float(closed.mean())


def _outline(luma: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return True for pixels at strong edges, widened by one pixel, [H, W]."""
    import cv2

    gradient = cv2.morphologyEx(luma, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    edges = (gradient >= MIN_EDGE).astype(np.uint8)
    return np.asarray(cv2.dilate(edges, np.ones((3, 3), np.uint8)), bool)
