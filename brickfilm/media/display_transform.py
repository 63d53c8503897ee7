"""Frames as a viewer sees them: upright, in square pixels, of even size, 8-bit yuv420p."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

from av.filter import Graph
from av.video.reformatter import ColorRange

TURNS = {90: "transpose=cclock", 180: "hflip,vflip", 270: "transpose=clock"}
"""Filters by the display matrix's angle, counter-clockwise."""


class Upright:
    """Turns stored frames into shown ones; a frame that is already right passes untouched."""

    def __init__(self, pixel_aspect: Fraction, max_height: int | None = None) -> None:
        self.pixel_aspect = pixel_aspect
        self.max_height = max_height
        self._sizes: dict[tuple[int, int, int], tuple[int, int]] = {}
        self._graphs: dict[tuple[Any, ...], Any] = {}

    def size_of(self, raw: Any) -> tuple[int, int]:
        """Width and height shown: stretched along one side to square pixels, then even.

        Never more than is stored, but for the stretch; an odd line or column is cut off.
        """
        stored = (raw.width, raw.height, self._angle(raw))
        if stored not in self._sizes:
            self._sizes[stored] = self._size(raw)
        return self._sizes[stored]

    def _size(self, raw: Any) -> tuple[int, int]:
        width, height = self._square(raw)
        if self.max_height is not None and height > self.max_height:
            width, height = round(width * self.max_height / height), self.max_height
        return _even(width), _even(height)

    def __call__(self, raw: Any) -> Any:
        if self._is_right(raw):
            return raw
        graph = self._graph(raw)
        graph.push(raw)
        shown = graph.pull()
        shown.pts, shown.time_base = raw.pts, raw.time_base
        return shown

    def _is_right(self, raw: Any) -> bool:
        stored = (raw.width, raw.height)
        return (
            raw.format.name == "yuv420p" and self._angle(raw) == 0 and stored == self.size_of(raw)
        )

    def _square(self, raw: Any) -> tuple[int, int]:
        width, height = raw.width, raw.height
        if self.pixel_aspect > 1:
            width = round(width * self.pixel_aspect)
        elif self.pixel_aspect < 1:
            height = round(height / self.pixel_aspect)
        return (height, width) if self._angle(raw) in (90, 270) else (width, height)

    def _angle(self, raw: Any) -> int:
        return int(raw.rotation) % 360

    def _graph(self, raw: Any) -> Any:
        key = (raw.width, raw.height, raw.format.name, self._angle(raw), raw.color_range)
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
        width, height = self.size_of(raw)
        square = self._square(raw)
        turned = [_filter(turn) for turn in TURNS.get(self._angle(raw), "").split(",") if turn]
        if (_even(square[0]), _even(square[1])) == (width, height) and self.pixel_aspect == 1:
            fitted = [("crop", f"{width}:{height}:0:0:exact=1")]
        else:
            fitted = [("scale", f"{width}:{height}:flags=bicubic+accurate_rnd")]
        if _is_full_range(raw):
            fitted.append(("scale", "out_range=limited"))
        return [*turned, *fitted, ("setsar", "1"), ("format", "yuv420p")]


def _filter(text: str) -> tuple[str, str]:
    name, _, arguments = text.partition("=")
    return name, arguments


def _is_full_range(raw: Any) -> bool:
    """Whether black is 0 and white 255: players expect 16 and 235 of yuv420p."""
    return bool(raw.color_range == ColorRange.JPEG) or raw.format.name.startswith("yuvj")


def _even(value: int) -> int:
    return max(2, value - value % 2)
