"""Crop and scale decoded frames, and find the black bars around a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brickfilm.media.color import ColorTags
from brickfilm.media.display_transform import SCALER_FLAGS, scaler_colors
from brickfilm.media.geometry import buffer_arguments, linear_graph

Box = tuple[int, int, int, int]
"""x, y, width and height in pixels, all even: chroma has half the resolution."""

MAX_BAR_LUMA = 32
"""Luma up to which a line is black; black is 16 in video, and encoders add noise around it."""
BAR_PERCENTILE = 98
"""Percent of a bar's pixels that are black: a few bright ones are ringing beside the picture."""


class CropScale:
    """Crop yuv420p frames to a box and scale them to a size, in the same colour matrix."""

    def __init__(self, box: Box, size: tuple[int, int]) -> None:
        self.box = box
        self.size = size
        self._graphs: dict[str, Any] = {}

    def __call__(self, raw: Any) -> Any:
        if self.box == (0, 0, raw.width, raw.height) and self.size == (raw.width, raw.height):
            return raw
        tags, key = ColorTags.of(raw), buffer_arguments(raw)
        if key not in self._graphs:
            self._graphs[key] = linear_graph([("buffer", key), *self._steps(tags)])
        self._graphs[key].push(raw)
        frame = self._graphs[key].pull()
        frame.pts, frame.time_base = raw.pts, raw.time_base
        tags.as_displayed.write_to(frame)
        return frame

    def _steps(self, tags: ColorTags) -> list[tuple[str, str]]:
        """Return the filters; the matrix must be named, or `scale` converts to BT.601."""
        x, y, width, height = self.box
        steps = [("crop", f"{width}:{height}:{x}:{y}:exact=1")]
        if self.size != (width, height) or tags.is_full_range:
            size = f"{self.size[0]}:{self.size[1]}"
            steps.append(("scale", f"{size}:{SCALER_FLAGS}:{scaler_colors(tags)}"))
        return steps


def picture_box(lumas: list[NDArray[np.uint8]]) -> Box:
    """Return the box inside black bars that all frames share; the whole frame without bars.

    lumas: [H, W] each, of one size. A frame that is black altogether has no bars.
    """
    height, width = lumas[0].shape
    rows = np.max([np.percentile(luma, BAR_PERCENTILE, axis=1) for luma in lumas], axis=0)
    columns = np.max([np.percentile(luma, BAR_PERCENTILE, axis=0) for luma in lumas], axis=0)
    top, bottom = _inner_range(rows)
    left, right = _inner_range(columns)
    if bottom <= top or right <= left:
        return 0, 0, width, height
    return left, top, right - left, bottom - top


def _inner_range(brightness: NDArray[np.float64]) -> tuple[int, int]:
    """Return the even range [start, end) of lines that are not black; (0, 0) if all are."""
    lines = np.flatnonzero(brightness > MAX_BAR_LUMA)
    if not len(lines):
        return 0, 0
    start, end = int(lines[0]), int(lines[-1]) + 1
    return start + start % 2, end - end % 2
