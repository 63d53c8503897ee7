"""FrameAnalyzer, the base class of detectors and measures, and its stored metrics.

`begin(video)` returns a function from a reduced frame to a few numbers. The numbers of all frames
are the stored answer; cuts and scores are computed from them on every run.
"""

from __future__ import annotations

import base64
import math
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from brickfilm.engine.stage import Answer, Part
from brickfilm.media import (
    DamagedGroupError,
    FrameExtras,
    ReducedFrame,
    VideoReader,
    reduced_frames,
)
from brickfilm.records import Span, Video

FRAMES_PER_BATCH = 16
"""Frames that each analyzer gets before the next: enough to keep several threads busy."""

FrameFunction = Callable[[ReducedFrame], Sequence[float]]
FloatArray = NDArray[np.float32]
Scores = Mapping[str, float]


@runtime_checkable
class LateFrameFunction(Protocol):
    """A frame function that looks ahead: rows come later, several at once, flattened."""

    def __call__(self, frame: ReducedFrame) -> Sequence[float]:
        """Take the next frame; return the rows that are complete, or nothing."""

    def finish(self) -> Sequence[float]:
        """Return the rest of the rows, after the last frame."""


class FrameAnalyzer(Part):
    """Compute a few numbers for each frame. State between frames lives in `begin`'s closure.

    It is called for one frame after another, beside other analyzers in other threads.

    Settings that `begin` does not use are `field(compare=False)`: changing them decodes nothing.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers; without any, the analyzer sees no frames."""
    dtype: ClassVar[Literal["f", "d"]] = "f"
    """Stored type of the numbers: float32 or float64."""
    with_chroma: ClassVar[bool] = False
    """True if it needs `chroma` or `bgr` of frames, beyond `chroma_thumbnail`."""
    with_bands: ClassVar[bool] = False
    """True if it needs `bands` of frames: some lines at full size."""
    with_full_luma: ClassVar[bool] = False
    """True if it needs `full_luma` of frames."""

    def begin(self, video: Video) -> FrameFunction:
        """Return a function for one video, to be called with every frame in order."""
        raise NotImplementedError


@dataclass(frozen=True)
class FrameMetrics:
    """An analyzer's numbers for consecutive frames, with their times."""

    values: FloatArray
    """[n, columns]"""
    times: NDArray[np.float64]
    """Seconds on the video's clock, [n]."""
    is_unique: NDArray[np.bool_]
    """True for unique frames, False for held ones, [n]. The first is unique."""

    def __len__(self) -> int:
        return len(self.values)

    def in_span(self, span: Span) -> Self:
        """Return the metrics of a span. Differences of its first frame are across the cut."""
        cut = slice(span.start_frame, span.end_frame)
        is_unique = self.is_unique[cut].copy()
        is_unique[:1] = True
        return type(self)(self.values[cut], self.times[cut], is_unique)


class Measure(FrameAnalyzer):
    """Compute scores of a clip from its frames' metrics."""

    provides: ClassVar[tuple[str, ...]] = ()

    def summarise(self, metrics: FrameMetrics) -> Scores:
        """Return the scores of one clip, a number for every name in `provides`."""
        raise NotImplementedError

    def scores(self, metrics: FrameMetrics) -> Scores:
        """Return the checked scores of `summarise`; ValueError for other names, NaN or infinity."""
        scores = self.summarise(metrics)
        if scores.keys() != set(self.provides) or not all(map(math.isfinite, scores.values())):
            raise ValueError(
                f"{type(self).__name__}.summarise returned {dict(scores)}: return a finite number "
                f"for each name in `provides`, {', '.join(self.provides)}"
            )
        return scores


def sampled(analyze: FrameFunction, seconds: float, video: Video) -> FrameFunction:
    """Return a function that analyzes a frame every so many seconds, and repeats its row between.

    The first frame is analyzed, and the one where the clock jumps back.
    """
    step = seconds / float(video.time_base)
    last_pts: float = -math.inf
    row: Sequence[float] = ()

    def analyze_or_repeat(frame: ReducedFrame) -> Sequence[float]:
        nonlocal last_pts, row
        if abs(frame.pts - last_pts) >= step:
            last_pts, row = frame.pts, analyze(frame)
        return row

    return analyze_or_repeat


def analyze_frames(
    reader: VideoReader, video: Video, analyzers: Sequence[FrameAnalyzer]
) -> dict[str, Answer]:
    """Run all analyzers over one decode of a video; return their answers by digest.

    A damaged video is decoded again on one thread: several lose frames around the damage.
    """
    with suppress(DamagedGroupError):
        answers = _analyze_frames(reader, video, analyzers)
        if not reader.damage.found or reader.threads == 1:
            return answers
    reader.restart_strictly()
    return _analyze_frames(reader, video, analyzers)


def _analyze_frames(
    reader: VideoReader, video: Video, analyzers: Sequence[FrameAnalyzer]
) -> dict[str, Answer]:
    frame_functions = [analyzer.begin(video) for analyzer in analyzers]
    collected = [array(analyzer.dtype) for analyzer in analyzers]
    extras = FrameExtras(
        with_chroma=any(analyzer.with_chroma for analyzer in analyzers),
        with_bands=any(analyzer.with_bands for analyzer in analyzers),
        with_full_luma=any(analyzer.with_full_luma for analyzer in analyzers),
    )
    size = 1 if extras.with_full_luma else FRAMES_PER_BATCH
    frames, count = reduced_frames(reader, extras), 0
    with _map_on(reader.threads) as run:
        while batch := list(islice(frames, size)):
            count += len(batch)
            list(run(partial(_analyze_batch, batch), frame_functions, collected))  # waits, raises
    for analyzer, analyze, values in zip(analyzers, frame_functions, collected, strict=True):
        if isinstance(analyze, LateFrameFunction):
            values.extend(analyze.finish())
        if len(values) != count * len(analyzer.columns):
            raise ValueError(
                f"{type(analyzer).__name__} gave {len(values)} numbers of {count} frames: return "
                f"one for each of its columns, {', '.join(analyzer.columns)}, from each frame"
            )
    return {
        analyzer.digest: pack_array(np.asarray(values, analyzer.dtype), len(analyzer.columns))
        for analyzer, values in zip(analyzers, collected, strict=True)
    }


@contextmanager
def _map_on(threads: int) -> Iterator[Callable[..., Iterator[None]]]:
    """Yield `map`, or one that calls on several threads at a time."""
    if threads <= 1:
        yield map
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="analyze") as pool:
        yield pool.map


def _analyze_batch(
    batch: Sequence[ReducedFrame], analyze: FrameFunction, values: array[float]
) -> None:
    """Add an analyzer's numbers of some frames; several analyzers do so at the same time."""
    for frame in batch:
        values.extend(analyze(frame))


def pack_array(values: NDArray[Any], columns: int = 1) -> Answer:
    """Encode an array as JSON: column by column, deflated, in base64."""
    by_column = np.ascontiguousarray(values.reshape(-1, columns).T)
    data = base64.b64encode(zlib.compress(by_column.tobytes(), 6)).decode()
    return {"data": data, "dtype": values.dtype.str, "columns": columns}


def unpack_array(answer: Answer) -> NDArray[Any]:
    """Decode an array of `pack_array`: [n, columns]."""
    data = zlib.decompress(base64.b64decode(answer["data"]))
    return np.frombuffer(data, answer["dtype"]).reshape(answer["columns"], -1).T
