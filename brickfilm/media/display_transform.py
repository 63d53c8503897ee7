"""Convert stored frames for display: upright, square pixels, even size, 8-bit yuv420p."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

from av.filter import Graph
from av.video.reformatter import ColorRange

ROTATION_FILTERS = {90: "transpose=cclock", 180: "hflip,vflip", 270: "transpose=clock"}
"""FFmpeg filters by the display matrix's angle in degrees, counter-clockwise."""


class DisplayTransform:
    """Convert stored frames for display; frames that need no conversion are returned unchanged.

    pixel_aspect: the stream's sample aspect ratio. max_height: lines to scale down to, if higher.
    """

    def __init__(self, pixel_aspect: Fraction, max_height: int | None = None) -> None:
        self.pixel_aspect = pixel_aspect
        self.max_height = max_height
        self._sizes: dict[tuple[int, int, int], tuple[int, int]] = {}
        self._graphs: dict[tuple[Any, ...], Any] = {}

    def display_size(self, raw: Any) -> tuple[int, int]:
        """Return the displayed width and height of a stored frame.

        One side is stretched to make pixels square; an odd line or column is cut off.
        """
        key = (raw.width, raw.height, self._rotation(raw))
        if key not in self._sizes:
            self._sizes[key] = self._size(raw)
        return self._sizes[key]

    def _size(self, raw: Any) -> tuple[int, int]:
        width, height = self._square_pixel_size(raw)
        if self.max_height is not None and height > self.max_height:
            width, height = round(width * self.max_height / height), self.max_height
        return _round_down_to_even(width), _round_down_to_even(height)

    def __call__(self, raw: Any) -> Any:
        if self._is_identity(raw):
            return raw
        graph = self._graph(raw)
        graph.push(raw)
        display_frame = graph.pull()
        display_frame.pts, display_frame.time_base = raw.pts, raw.time_base
        return display_frame

    def _is_identity(self, raw: Any) -> bool:
        is_planar = raw.format.name == "yuv420p" and self._rotation(raw) == 0
        return is_planar and (raw.width, raw.height) == self.display_size(raw)

    def _square_pixel_size(self, raw: Any) -> tuple[int, int]:
        width, height = raw.width, raw.height
        if self.pixel_aspect > 1:
            width = round(width * self.pixel_aspect)
        elif self.pixel_aspect < 1:
            height = round(height / self.pixel_aspect)
        return (height, width) if self._rotation(raw) in (90, 270) else (width, height)

    def _rotation(self, raw: Any) -> int:
        return int(raw.rotation) % 360

    def _graph(self, raw: Any) -> Any:
        key = (raw.width, raw.height, raw.format.name, self._rotation(raw), raw.color_range)
        if key not in self._graphs:
            self._graphs[key] = self._build(raw)
        return self._graphs[key]

    def _build(self, raw: Any) -> Any:
        graph = Graph()
        source = graph.add_buffer(
            width=raw.width, height=raw.height, format=raw.format, time_base=raw.time_base
        )
        chain = [source, *(graph.add(*step) for step in self._steps(raw)), graph.add("buffersink")]
        for left, right in pairwise(chain):
            left.link_to(right)
        graph.configure()
        return graph

    def _steps(self, raw: Any) -> list[tuple[str, str]]:
        width, height = self.display_size(raw)
        filters = ROTATION_FILTERS.get(self._rotation(raw), "").split(",")
        rotate = [_parse_filter(text) for text in filters if text]
        square = tuple(map(_round_down_to_even, self._square_pixel_size(raw)))
        if square == (width, height) and self.pixel_aspect == 1:
            resize = [("crop", f"{width}:{height}:0:0:exact=1")]
        else:
            resize = [("scale", f"{width}:{height}:flags=bicubic+accurate_rnd")]
        if _is_full_range(raw):
            resize.append(("scale", "out_range=limited"))
        return [*rotate, *resize, ("setsar", "1"), ("format", "yuv420p")]


def _parse_filter(text: str) -> tuple[str, str]:
    name, _, arguments = text.partition("=")
    return name, arguments


def _is_full_range(raw: Any) -> bool:
    """Return True for luma of 0 to 255: players expect 16 to 235 of yuv420p."""
    return bool(raw.color_range == ColorRange.JPEG) or raw.format.name.startswith("yuvj")


def _round_down_to_even(value: int) -> int:
    return max(2, value - value % 2)
