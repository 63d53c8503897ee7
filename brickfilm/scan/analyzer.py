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
from brickfilm.media import Film, ReducedFrame, reduced
from brickfilm.records import Span, Video

Observe = Callable[[ReducedFrame], Sequence[float]]
Floats = NDArray[np.float32]
Scores = Mapping[str, float]


class Observer(Part):
    """Looks at frames. State between frames lives in the closure that `begin` makes.

    Settings that only the arithmetic reads are `field(compare=False)`: moving them scans nothing.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers in a row; without any, there is nothing to look at."""
    precision: ClassVar[Literal["f", "d"]] = "f"
    """Bytes a number is kept in: four, or eight."""
    colours: ClassVar[bool] = False
    """Whether it asks frames for more colour than `tint`: their `chroma`, or `bgr`."""

    def begin(self, video: Video) -> Observe:
        """A function for one film, called with every frame in order."""
        raise NotImplementedError


@dataclass(frozen=True)
class Rows:
    """What an observer saw of a stretch of frames, and when these were shown."""

    values: Floats
    """[n, columns]"""
    times: NDArray[np.float64]
    """Seconds from the film's own zero, [n]."""
    new: NDArray[np.bool_]
    """Whether a frame is a new drawing or the one before it, held; [n]. The first is new."""

    def __len__(self) -> int:
        return len(self.values)

    def of(self, span: Span) -> Self:
        """The rows of a span. The first one looks back across the cut."""
        cut = slice(span.start_frame, span.end_frame)
        new = self.new[cut].copy()
        new[:1] = True
        return type(self)(self.values[cut], self.times[cut], new)


class Measure(Observer):
    """Gives each clip scores from what it saw of the clip's frames."""

    provides: ClassVar[tuple[str, ...]] = ()

    def summarise(self, rows: Rows) -> Scores:
        """The scores of one clip, a number for every name in `provides`."""
        raise NotImplementedError


def observe(film: Film, video: Video, observers: Sequence[Observer]) -> dict[str, Answer]:
    """Show every frame of a film to all observers at once: answers by digest."""
    looks = [observer.begin(video) for observer in observers]
    seen = [array(observer.precision) for observer in observers]
    for frame in reduced(film, colours=any(observer.colours for observer in observers)):
        for look, values in zip(looks, seen, strict=True):
            values.extend(look(frame))
    return {
        observer.digest: packed(np.asarray(values, observer.precision), len(observer.columns))
        for observer, values in zip(observers, seen, strict=True)
    }


def packed(values: NDArray[Any], columns: int = 1) -> Answer:
    """An array as JSON: column by column, deflated, in base64."""
    by_column = np.ascontiguousarray(values.reshape(-1, columns).T)
    data = base64.b64encode(zlib.compress(by_column.tobytes(), 6)).decode()
    return {"data": data, "dtype": values.dtype.str, "columns": columns}


def unpacked(answer: Answer) -> NDArray[Any]:
    """The array again: [n, columns]."""
    data = zlib.decompress(base64.b64decode(answer["data"]))
    return np.frombuffer(data, answer["dtype"]).reshape(answer["columns"], -1).T
