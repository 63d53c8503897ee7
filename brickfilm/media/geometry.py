"""Lay out stored frames for display: pixel aspect, and filter graphs."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

from av.filter import Graph

FIXED_ASPECT_CONTAINERS = ("matroska", "mov")
"""Containers that store the pixel aspect themselves: it holds for the whole stream."""
ASPECT_SCALE = 4000
"""Pixels of width that stand for a pixel aspect of 1 where a frame's aspect is measured."""


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
