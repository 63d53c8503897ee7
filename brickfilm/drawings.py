"""Which frames of a film are new drawings, and which are the one before it, held.

A held frame differs from the one before it by what the codec makes of the same picture: by nothing
in some films, by more than a small movement in others. So the border between the two is estimated
for each film from all of its differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brickfilm.media import ReducedFrame
from brickfilm.observe import Floats, Observe, Observer
from brickfilm.records import Video

BLOCK = 8
"""Pixels of the reduced frame along a block's side: a moving hand fills one."""


@dataclass(frozen=True, kw_only=True)
class Drawings(Observer):
    """How far each frame is from the one before: on average, and in the block that moves most."""

    columns = ("mean", "peak")

    def begin(self, video: Video) -> Observe:
        import cv2

        before: NDArray[np.uint8] | None = None

        def look(frame: ReducedFrame) -> Sequence[float]:
            nonlocal before
            luma, last, before = frame.luma, before, frame.luma
            if last is None or last.shape != luma.shape:
                return 255.0, 255.0
            moved = cv2.absdiff(luma, last)
            blocks = cv2.resize(moved, _blocks(luma), interpolation=cv2.INTER_AREA)
            return float(cv2.mean(moved)[0]), float(blocks.max())

        return look


def _blocks(luma: NDArray[np.uint8]) -> tuple[int, int]:
    height, width = luma.shape
    return max(1, width // BLOCK), max(1, height // BLOCK)


def new_drawings(rows: Floats) -> NDArray[np.bool_]:
    """Which frames are new, from `Drawings` rows of a whole film: [n] bool. The first one is."""
    new: NDArray[np.bool_] = rows[:, 1] > border(rows[1:, 1])
    new[:1] = True
    return new


def border(peaks: NDArray[np.float32]) -> float:
    """The difference that parts held frames from new drawings in one film.

    The widest gap between neighbouring differences, as a ratio, below their median of movement.
    """
    values = np.sort(peaks[peaks > 0].astype(np.float64))
    if len(values) < 4:
        return 0.5
    low = values[values < max(2.0, float(np.median(values)))]
    if len(low) < 2:
        return 0.5
    gaps = np.log(low[1:]) - np.log(low[:-1])
    at = int(np.argmax(gaps))
    return float(np.sqrt(low[at] * low[at + 1])) if gaps[at] > np.log(2) else 0.5
