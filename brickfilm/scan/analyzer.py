"""Observers look at every frame of a film once; what they saw is kept as rows of numbers.

`begin(video)` gives a function that turns a reduced frame into a small vector. The vectors of all
frames are the answer; everything later (cuts, scores) is arithmetic over them, done anew on every
run.
"""

from __future__ import annotations

import base64
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from brickfilm.engine.stage import Answer, Part
from brickfilm.media import ReducedFrame, VideoReader, reduced_frames
from brickfilm.records import Span, Video

FrameFunction = Callable[[ReducedFrame], Sequence[float]]
FloatArray = NDArray[np.float32]
Scores = Mapping[str, float]


class FrameAnalyzer(Part):
    """Looks at frames. State between frames lives in the closure that `begin` makes.

    Settings that only the arithmetic reads are `field(compare=False)`: moving them scans nothing.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers in a row; without any, there is nothing to look at."""
    dtype: ClassVar[Literal["f", "d"]] = "f"
    """Bytes a number is kept in: four, or eight."""
    with_chroma: ClassVar[bool] = False
    """Whether it asks frames for more colour than `tint`: their `chroma`, or `bgr`."""

    def begin(self, video: Video) -> FrameFunction:
        """A function for one film, called with every frame in order."""
        raise NotImplementedError


@dataclass(frozen=True)
class FrameMetrics:
    """What an observer saw of a stretch of frames, and when these were shown."""

    values: FloatArray
    """[n, columns]"""
    times: NDArray[np.float64]
    """Seconds from the film's own zero, [n]."""
    is_unique: NDArray[np.bool_]
    """Whether a frame is a new drawing or the one before it, held; [n]. The first is new."""

    def __len__(self) -> int:
        return len(self.values)

    def in_span(self, span: Span) -> Self:
        """The rows of a span. The first one looks back across the cut."""
        cut = slice(span.start_frame, span.end_frame)
        is_unique = self.is_unique[cut].copy()
        is_unique[:1] = True
        return type(self)(self.values[cut], self.times[cut], is_unique)


class Measure(FrameAnalyzer):
    """Gives each clip scores from what it saw of the clip's frames."""

    provides: ClassVar[tuple[str, ...]] = ()

    def summarise(self, metrics: FrameMetrics) -> Scores:
        """The scores of one clip, a number for every name in `provides`."""
        raise NotImplementedError


def analyze_frames(
    reader: VideoReader, video: Video, analyzers: Sequence[FrameAnalyzer]
) -> dict[str, Answer]:
    """Show every frame of a film to all observers at once: answers by digest."""
    frame_functions = [analyzer.begin(video) for analyzer in analyzers]
    seen = [array(analyzer.dtype) for analyzer in analyzers]
    for frame in reduced_frames(
        reader, with_chroma=any(analyzer.with_chroma for analyzer in analyzers)
    ):
        for analyze, values in zip(frame_functions, seen, strict=True):
            values.extend(analyze(frame))
    return {
        analyzer.digest: pack_array(np.asarray(values, analyzer.dtype), len(analyzer.columns))
        for analyzer, values in zip(analyzers, seen, strict=True)
    }


def pack_array(values: NDArray[Any], columns: int = 1) -> Answer:
    """An array as JSON: column by column, deflated, in base64."""
    by_column = np.ascontiguousarray(values.reshape(-1, columns).T)
    data = base64.b64encode(zlib.compress(by_column.tobytes(), 6)).decode()
    return {"data": data, "dtype": values.dtype.str, "columns": columns}


def unpack_array(answer: Answer) -> NDArray[Any]:
    """The array again: [n, columns]."""
    data = zlib.decompress(base64.b64decode(answer["data"]))
    return np.frombuffer(data, answer["dtype"]).reshape(answer["columns"], -1).T
