"""Lay out stored frames for display: orientation and pixel aspect."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

MATRIX_SIDE_DATA = "DISPLAYMATRIX"
TRANSPOSE_FILTERS = {
    (False, False): "cclock_flip",
    (False, True): "cclock",
    (True, False): "clock",
    (True, True): "clock_flip",
}
"""Arguments of FFmpeg's `transpose` by (flip_x, flip_y) after the transposition."""
FIXED_ASPECT_CONTAINERS = ("matroska", "mov")
"""Containers that store the pixel aspect themselves: it holds for the whole stream."""
ASPECT_SCALE = 4000
"""Pixels of width that stand for a pixel aspect of 1 where a frame's aspect is measured."""


@dataclass(frozen=True)
class Orientation:
    """A transposition, then flips: all that a display matrix of quarter turns and mirrors says."""

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, raw: Any) -> Orientation:
        """Return a frame's orientation; other angles become the nearest quarter turn."""
        matrix = raw.side_data.get(MATRIX_SIDE_DATA)
        return UPRIGHT if matrix is None else _from_matrix(bytes(matrix))

    @property
    def is_mirrored(self) -> bool:
        """Return True if no rotation alone makes the frame upright."""
        return self.transposed ^ self.flip_x ^ self.flip_y

    def filters(self) -> list[tuple[str, str]]:
        """Return FFmpeg filters, with arguments, that make a frame upright."""
        if self.transposed:
            return [("transpose", TRANSPOSE_FILTERS[self.flip_x, self.flip_y])]
        flips = (("hflip", self.flip_x), ("vflip", self.flip_y))
        return [(name, "") for name, is_needed in flips if is_needed]

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return an upright view of an image, [H, W, ...]."""
        image = image.swapaxes(0, 1) if self.transposed else image
        image = image[:, ::-1] if self.flip_x else image
        return image[::-1] if self.flip_y else image

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the upright width and height of a stored size."""
        return (height, width) if self.transposed else (width, height)


UPRIGHT = Orientation()


@lru_cache(maxsize=8)
def _from_matrix(matrix: bytes) -> Orientation:
    """Decode a display matrix: 9 integers, of which 0, 1, 3 and 4 turn and mirror."""
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(int)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, bool(c < 0), bool(b < 0))
    return Orientation(False, bool(a < 0), bool(d < 0))


class PixelAspect:
    """The sample aspect ratio of a stream's frames, which may change inside it.

    PyAV gives the aspect of the decoder alone, which is ahead of the frames. So frames are measured
    from the decoder's first change on.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.initial = Fraction(stream.sample_aspect_ratio or 1)
        self._context = stream.codec_context
        self._first = self._context.sample_aspect_ratio
        self._is_fixed = container.format.name.startswith(FIXED_ASPECT_CONTAINERS)
        self._known = {self.initial}
        self._graphs: dict[tuple[Any, ...], Any] = {}

    def of(self, raw: Any) -> Fraction:
        """Return the pixel aspect of a frame, width by height."""
        if self._is_fixed:
            return self.initial
        current = self._context.sample_aspect_ratio
        if current != self._first:
            self._known.add(Fraction(current or 1))
        return self.initial if len(self._known) == 1 else self._measure(raw)

    def _measure(self, raw: Any) -> Fraction:
        """Return the known aspect that is nearest to the one that a `scale` filter sees."""
        key = (raw.width, raw.height, raw.format.name)
        if key not in self._graphs:
            self._graphs[key] = linear_graph(
                [
                    ("buffer", buffer_arguments(raw)),
                    ("crop", "16:16:0:0"),
                    ("scale", f"w='max(1,min(16000,round({ASPECT_SCALE}*sar)))':h=2:eval=frame"),
                ]
            )
        self._graphs[key].push(raw)
        seen = Fraction(self._graphs[key].pull().width, ASPECT_SCALE)
        return min(self._known, key=lambda aspect: abs(aspect - seen))


def buffer_arguments(raw: Any) -> str:
    """Return the arguments of a `buffer` filter that takes frames like this one."""
    return (
        f"video_size={raw.width}x{raw.height}:pix_fmt={raw.format.name}:time_base={raw.time_base}"
    )


def linear_graph(steps: list[tuple[str, str]]) -> Any:
    """Return a configured filter graph of these filters, in order, up to a sink."""
    graph = Graph()
    chain = [*(graph.add(name, arguments) for name, arguments in steps), graph.add("buffersink")]
    for left, right in pairwise(chain):
        left.link_to(right)
    graph.configure()
    return graph
