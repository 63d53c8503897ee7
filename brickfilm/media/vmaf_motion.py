"""Measure motion as VMAF does, by FFmpeg's filter."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from brickfilm.media.geometry import buffer_arguments, linear_graph

MIN_SIDE = 3
"""Pixels that the filter's kernel of five needs at least."""
SCORE = "lavfi.vmafmotion.score"


class VmafMotionFilter:
    """Compute FFmpeg's `vmafmotion`: the mean absolute difference of blurred frames."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def __call__(self, luma: NDArray[np.uint8]) -> float:
        """Return the score of the next frame, [H, W], in levels; 0 for the first of a size."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(luma), format="gray8")
        frame.pts, frame.time_base = self._count, 1
        self._count += 1
        if luma.shape != self._shape:
            self._shape = luma.shape
            self._graph = linear_graph([("buffer", buffer_arguments(frame)), ("vmafmotion", "")])
        self._graph.push(frame)
        return float(self._graph.pull().metadata[SCORE])
