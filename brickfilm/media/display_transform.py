"""Convert stored frames for display: upright, square pixels, even size, 8-bit yuv420p, SDR."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from brickfilm.media.color import ColorTags, hdr_transfer
from brickfilm.media.geometry import (
    buffer_arguments,
    linear_graph,
)
from brickfilm.media.side_data import side_data
from brickfilm.media.tone_map import tone_map
from brickfilm.schema.orientation import UPRIGHT, Orientation

AspectFunction = Callable[[Any], Fraction]
SCALER_FLAGS = "flags=bicubic+accurate_rnd+full_chroma_int"


class DisplayTransform:
    """Convert stored frames for display; frames that need no conversion are returned unchanged.

    aspect_of: returns the pixel aspect of a stored frame. max_height: lines to scale down to, if
    higher.
    """

    def __init__(self, aspect_of: AspectFunction, max_height: int | None = None) -> None:
        self.aspect_of = aspect_of
        self.max_height = max_height
        self._graphs: dict[tuple[Any, ...], Any] = {}

    def display_size(self, raw: Any) -> tuple[int, int]:
        """Return the displayed width and height of a stored frame.

        One side is stretched to make pixels square; an odd line or column is cut off.
        """
        return self._size(raw, Orientation.of(side_data(raw)), self.aspect_of(raw))

    def __call__(self, raw: Any) -> Any:
        tags, orientation = ColorTags.of(raw), Orientation.of(side_data(raw))
        aspect = self.aspect_of(raw)
        if self._is_identity(raw, orientation, aspect):
            return raw
        stored = tone_map(raw, raw.width, raw.height) if hdr_transfer(raw) else raw
        key = (raw.width, raw.height, raw.format.name, raw.time_base, orientation, aspect, tags)
        if key not in self._graphs:
            steps = self._steps(stored, orientation, aspect, ColorTags.of(stored))
            self._graphs[key] = linear_graph(steps)
        self._graphs[key].push(stored)
        display_frame = self._graphs[key].pull()
        display_frame.pts, display_frame.time_base = raw.pts, raw.time_base
        tags.as_displayed.write_to(display_frame)
        return display_frame

    def _size(self, raw: Any, orientation: Orientation, pixel_aspect: Fraction) -> tuple[int, int]:
        width, height = orientation.size(*_square_pixel_size(raw, pixel_aspect))
        if self.max_height is not None and height > self.max_height:
            width, height = round(width * self.max_height / height), self.max_height
        return _round_down_to_even(width), _round_down_to_even(height)

    def _is_identity(self, raw: Any, orientation: Orientation, aspect: Fraction) -> bool:
        is_upright = raw.format.name == "yuv420p" and orientation == UPRIGHT
        is_sdr = is_upright and not hdr_transfer(raw)
        return is_sdr and (raw.width, raw.height) == self._size(raw, orientation, aspect)

    def _steps(
        self, raw: Any, orientation: Orientation, aspect: Fraction, tags: ColorTags
    ) -> list[tuple[str, str]]:
        """Return the filters: upright first, then cropped to even or scaled, in the same matrix."""
        width, height = size = self._size(raw, orientation, aspect)
        stored = orientation.size(raw.width, raw.height)
        steps = [("buffer", buffer_arguments(raw)), *orientation.filters()]
        if is_cropped := tuple(map(_round_down_to_even, stored)) == size:
            steps.append(("crop", f"{width}:{height}:0:0:exact=1"))
        if not is_cropped or raw.format.name != "yuv420p" or tags.is_full_range:
            steps.append(("scale", f"{width}:{height}:{SCALER_FLAGS}:{scaler_colors(tags)}"))
        return [*steps, ("setsar", "1"), ("format", "yuv420p")]


def scaler_colors(tags: ColorTags) -> str:
    """Return arguments of `scale` that keep the matrix; otherwise it converts to BT.601."""
    matrix, source_range = tags.scaler_matrix, "full" if tags.is_full_range else "limited"
    return (
        f"in_color_matrix={matrix}:in_range={source_range}"
        f":out_color_matrix={matrix}:out_range=limited"
    )


def _square_pixel_size(raw: Any, pixel_aspect: Fraction) -> tuple[int, int]:
    if pixel_aspect > 1:
        return round(raw.width * pixel_aspect), raw.height
    return raw.width, round(raw.height / pixel_aspect)


def _round_down_to_even(value: int) -> int:
    return max(2, value - value % 2)
