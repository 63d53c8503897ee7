"""Find interlaced and telecined video, by flags and measured combing, and make frames of it.

FFmpeg's `idet` measures: a field that continues the field before better than its own frame is
combed; in 3:2 pulldown two of five frames repeat a field. Flags alone prove nothing: progressive
frames are often marked interlaced, and interlaced ones progressive.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import islice
from operator import or_
from typing import Any

import av

from brickfilm.errors import MediaError
from brickfilm.media.damage import NO_FLAG, FrameFlag
from brickfilm.media.geometry import buffer_arguments, linear_graph
from brickfilm.media.packet_decoder import RawFrame

INTERLACED = ("interlaced", "interlaced bff")
TELECINE = ("telecine", "telecine bff")
"""Kinds of fields, the top or the bottom one first."""
FieldFilters = tuple[tuple[str, str], ...]
"""FFmpeg filters with their arguments, in order."""
CONVERSION_OF_FIELDS: Mapping[str, str] = {
    "interlaced": "deinterlaced",
    "interlaced bff": "deinterlaced bff",
    "telecine": "inverse telecine",
    "telecine bff": "inverse telecine bff",
}
FIELD_FILTERS: Mapping[str, FieldFilters] = {
    f"{conversion}{suffix}": filters
    for suffix, parity in (("", "tff"), (" bff", "bff"))
    for conversion, filters in (
        ("deinterlaced", (("bwdif", f"mode=send_frame:parity={parity}:deint=all"),)),
        (
            "inverse telecine",
            (
                ("fieldmatch", f"order={parity}:combmatch=full"),
                ("bwdif", f"mode=send_frame:parity={parity}:deint=interlaced"),
                ("decimate", ""),
            ),
        ),
    )
}
"""Filters by conversion; a telecined frame that matches no field is deinterlaced."""
FIELD_LINES = (480, 486, 512, 576, 608, 1080, 1088)
"""Heights of interlaced systems, with and without the lines of other data."""
MAX_FIELD_RATE = 31
"""Frames per second above which a video of those heights holds no fields."""
WINDOWS = (0.1, 0.45, 0.8)
"""Positions in the video, 0 to 1, that are measured."""
GATE_FRAMES, WINDOW_FRAMES = 12, 100
"""Frames measured at each position: to suspect fields without a flag, and to be sure."""
MIN_COMBED_SHARE = 0.3
"""Combed frames, of those that move, from which a video is interlaced: titles alone may be."""
MIN_REPEATED_SHARE = 0.08
"""Frames that repeat a top field, and a bottom one, for 3:2 pulldown, which repeats 0.2 of each."""
MIN_MOVING_FRAMES = 6
PROGRESSIVE = 1
"""Value of FFmpeg's `AVFieldOrder`; 0 is unknown, those above have fields."""
MAX_DELAY_FRAMES, MAX_REACH_FRAMES = 32, 1.5
"""Frames that filters hold back at most, and whose picture enters the one beside them."""
OF_ITS_SOURCES = FrameFlag.DAMAGED | FrameFlag.GROUP_DAMAGED | FrameFlag.KEY
"""Flags that a filtered frame takes from the frames that it is made of."""
MAX_STEP_FRAMES = 2.5
"""Frames of time from one frame to the next above which time has jumped."""


@dataclass
class FieldCounts:
    """Frames of a video by what `idet` says of them."""

    combed: Counter[str]
    repeated: Counter[str]

    @classmethod
    def of(cls, windows: Iterable[Iterable[Any]]) -> FieldCounts:
        """Measure runs of consecutive raw frames."""
        counts = cls(Counter(), Counter())
        for frames in windows:
            for frame in filtered(frames, (("idet", ""),)):
                counts.combed[frame.metadata["lavfi.idet.multiple.current_frame"]] += 1
                counts.repeated[frame.metadata["lavfi.idet.repeated.current_frame"]] += 1
        return counts

    def kind(self) -> str:
        """Return one of INTERLACED or TELECINE, or '' for progressive frames."""
        tff, bff = self.combed["tff"], self.combed["bff"]
        moving = tff + bff + self.combed["progressive"]
        if tff + bff < max(MIN_MOVING_FRAMES, MIN_COMBED_SHARE * moving):
            return ""
        repeats = min(self.repeated["top"], self.repeated["bottom"])
        is_telecine = repeats >= MIN_REPEATED_SHARE * self.combed.total()
        return (TELECINE if is_telecine else INTERLACED)[bff > tff]


def field_kind(reader: Any, first: Any, seconds: float) -> str:
    """Measure an open video, `seconds` long; return its kind of fields, '' if it has none.

    reader: a VideoReader. first: its first raw frame.
    """
    rate = reader.stream.average_rate
    is_flagged = first.interlaced_frame or reader.stream.codec_context.field_order > PROGRESSIVE
    is_possible = first.height in FIELD_LINES and bool(rate) and rate <= MAX_FIELD_RATE
    if not is_flagged and not (is_possible and _measured(reader, seconds, GATE_FRAMES)):
        return ""
    return _measured(reader, seconds, WINDOW_FRAMES)


def _measured(reader: Any, seconds: float, frames: int) -> str:
    """Measure `frames` frames from each of the positions on; '' if they cannot be decoded."""
    windows = (islice(reader.raw_frames_from(at * seconds), frames) for at in WINDOWS)
    try:
        return FieldCounts.of(windows).kind()
    except MediaError:
        return ""


def field_filters(conversions: Sequence[str]) -> FieldFilters:
    """Return the filters of the conversions that concern fields; none if none does."""
    return next((FIELD_FILTERS[name] for name in conversions if name in FIELD_FILTERS), ())


def drops_frames(filters: FieldFilters) -> bool:
    """Return True for filters that make fewer frames, counted from the start of a video."""
    return any(name == "decimate" for name, _ in filters)


def without_fields(
    frames: Iterable[RawFrame], filters: FieldFilters, rate: Fraction
) -> Iterator[RawFrame]:
    """Yield the frames that filters make of decoded ones; those near a damaged one are damaged."""
    seen: deque[RawFrame] = deque(maxlen=MAX_DELAY_FRAMES)

    def remembered() -> Iterator[Any]:
        for frame in frames:
            seen.append(frame)
            yield frame.raw

    for raw in filtered(remembered(), filters, rate if drops_frames(filters) else None):
        reach = MAX_REACH_FRAMES / (rate * raw.time_base)
        near = [f.flags for f in seen if abs(f.raw.pts - raw.pts) <= reach]
        yield RawFrame(raw, reduce(or_, near, NO_FLAG) & OF_ITS_SOURCES)


def filtered(
    frames: Iterable[Any], filters: FieldFilters, rate: Fraction | None = None
) -> Iterator[Any]:
    """Yield the frames that FFmpeg filters make of raw frames, with times in the same time base.

    rate: frames per second, which `decimate` counts times by. So a new size or a jump of time
    begins a new graph.
    """
    graph: Any = None
    key, last_pts = None, 0
    for raw in frames:
        step = (raw.pts - last_pts) * raw.time_base * (rate or 1)
        is_jump = rate is not None and not 0 < step < MAX_STEP_FRAMES
        if is_jump or key != (raw.width, raw.height, raw.format.name):
            yield from _drain(graph)
            key = (raw.width, raw.height, raw.format.name)
            source = buffer_arguments(raw) + (f":frame_rate={rate}" if rate else "")
            graph = linear_graph([("buffer", source), *filters, ("settb", str(raw.time_base))])
        graph.push(raw)
        last_pts = raw.pts
        yield from _ready(graph)
    yield from _drain(graph)


def _ready(graph: Any) -> Iterator[Any]:
    try:
        while True:
            yield graph.pull()
    except (av.error.BlockingIOError, av.error.EOFError):
        return


def _drain(graph: Any) -> Iterator[Any]:
    if graph is not None:
        graph.push(None)
        yield from _ready(graph)
