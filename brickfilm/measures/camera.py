"""Measure how the camera moves: pan, tilt, zoom and shake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores

GRID = 15
"""Pixels of the halved reduced frame between two points that are followed."""
MIN_SIDE = 24
"""Pixels of the halved frame's shorter side."""
WINDOW, LEVELS = (9, 9), 2
"""Window and pyramid of the Lucas-Kanade flow: it follows up to 16 pixels of the halved frame."""
MIN_TEXTURE = 6.0
"""Levels by which a point differs from its surroundings: flow without texture means nothing."""
MIN_POINTS = 12
MAX_RESIDUAL = 0.25
"""Pixels of the halved frame by which a point may miss the motion of most points (RANSAC)."""
MAX_ROUNDS = 100
NO_MOTION = (0.0, 0.0, 0.0)
JITTER = np.sqrt(5.0)
"""Deviation of 1.5 p[k] - 1.5 p[k-1] + 0.5 p[k-2] - 0.5 p[k+1] for positions of deviation 1."""


@dataclass(frozen=True, kw_only=True)
class CameraMotion(Measure):
    """Compute pan, tilt, zoom and shake from the flow that most of the picture shares.

    `camera_pan` (right is positive) and `camera_tilt` (up is positive) are in frame heights a
    second, `camera_zoom` (in is positive) is the logarithm of the scale a second: each the median
    over unique frames. `camera_shake` is the deviation of the camera's position from a smooth path,
    in frame heights. A static camera has 0 in all four; a figure that fills most of the picture is
    taken for the set.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("x", "y", "scale")
    provides: ClassVar[tuple[str, ...]] = (
        *("camera_pan", "camera_tilt", "camera_zoom", "camera_shake"),
    )

    def begin(self, video: Video) -> FrameFunction:
        previous: NDArray[np.uint8] | None = None

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            nonlocal previous
            last, previous = previous, frame.half_luma
            if last is None or last.shape != previous.shape or min(previous.shape) < MIN_SIDE:
                return NO_MOTION
            return NO_MOTION if np.array_equal(last, previous) else _shared_motion(last, previous)

        return analyze

    def summarise(self, metrics: FrameMetrics) -> Scores:
        unique_frames = np.flatnonzero(metrics.is_unique)
        if len(unique_frames) < 2:
            return dict.fromkeys(self.provides, 0.0)
        moved = metrics.values[unique_frames[1:]].astype(np.float64)
        speed = np.median(moved / np.diff(metrics.times[unique_frames])[:, None], axis=0)
        jitter = moved[1:-1, :2] - (moved[:-2, :2] + moved[2:, :2]) / 2
        shake = np.sqrt((jitter**2).sum(axis=1).mean()) / JITTER if len(jitter) else 0.0
        values = (-speed[0], speed[1], speed[2], shake)
        return {n: round(float(v), 5) + 0.0 for n, v in zip(self.provides, values, strict=True)}


def _shared_motion(last: NDArray[np.uint8], now: NDArray[np.uint8]) -> Sequence[float]:
    """Return the shift in frame heights and the log of the scale that most of a picture shares."""
    import cv2

    height, width = last.shape
    points = _textured_points(last)
    if len(points) < MIN_POINTS:
        return NO_MOTION
    found, is_found, _ = cv2.calcOpticalFlowPyrLK(
        last, now, points[:, None], None, winSize=WINDOW, maxLevel=LEVELS
    )
    is_found = is_found[:, 0] > 0
    if np.count_nonzero(is_found) < MIN_POINTS:
        return NO_MOTION
    center = np.array([width / 2, height / 2], np.float32)
    similarity, _ = cv2.estimateAffinePartial2D(
        points[is_found] - center,
        found[is_found, 0] - center,
        ransacReprojThreshold=MAX_RESIDUAL,
        maxIters=MAX_ROUNDS,
    )
    if similarity is None:
        return NO_MOTION
    x, y = similarity[:, 2]
    scale = float(np.hypot(*similarity[:, 0]))
    return x / height, y / height, float(np.log(max(scale, 0.1)))


def _textured_points(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the points of a grid that differ from their surroundings, [n, 2], x and y."""
    height, width = luma.shape
    rows, columns = (np.arange(GRID // 2, side, GRID) for side in (height, width))
    lines = luma[rows]
    here = lines[:, columns].astype(np.float32)
    across = here - lines[:, np.minimum(columns + 2, width - 1)]
    down = here - luma[np.minimum(rows + 2, height - 1)][:, columns]
    y, x = np.nonzero(np.hypot(across, down) >= MIN_TEXTURE)
    return np.stack([columns[x], rows[y]], axis=-1).astype(np.float32)
