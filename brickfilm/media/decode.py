"""Decode the frames of a video: all of them, or exactly one span."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.format import Flags as ContainerFlags
from numpy.typing import NDArray
from PIL import Image

from brickfilm.errors import MediaError
from brickfilm.media.container import media_errors
from brickfilm.media.display_transform import DisplayTransform
from brickfilm.media.fields import drops_frames, field_filters, without_fields
from brickfilm.media.geometry import PixelAspect
from brickfilm.media.needed_frames import NeededFrames, NotSkippableError
from brickfilm.media.packet_decoder import PacketDecoder, RawFrame
from brickfilm.records import Span

SEEK_MARGIN_SECONDS = (0.0, 2.0, 10.0)
"""Seconds to seek before a span, tried in order until a keyframe at or before its start turns up.

Containers index by decode time: with reordered frames the first try may reach a later keyframe."""

MAX_FORWARD_DECODE_SECONDS = 10
"""Seconds to the next span up to which decoding on is cheaper than seeking: a keyframe interval."""


FILTER_REACH = 3
"""Frames before a frame that a deinterlaced one depends on, and one to be sure."""
ANIMATED_IMAGES = ("gif", "apng")
"""Formats in which a seek finds no frame that is whole: each is drawn over the one before."""


@dataclass
class Frame:
    """One decoded frame. Rotation and pixel aspect are applied on first use."""

    number: int
    pts: int
    """Ticks of the stream's time base."""
    raw: Any
    """The `av.VideoFrame` as stored."""
    display_transform: DisplayTransform = field(repr=False)
    _display_frame: Any = field(default=None, repr=False)

    @property
    def duration(self) -> int:
        """Return the container's duration in ticks, 0 where it gives none."""
        return int(self.raw.duration or 0)

    @property
    def size(self) -> tuple[int, int]:
        """Return the displayed width and height: upright, square pixels, even."""
        return self.display_transform.display_size(self.raw)

    @property
    def display_frame(self) -> Any:
        """Return the frame as yuv420p, upright, in square pixels; computed once and cached."""
        if self._display_frame is None:
            with media_errors(f"frame {self.number} cannot be converted"):
                self._display_frame = self.display_transform(self.raw)
        return self._display_frame

    def image(self) -> Image.Image:
        """Return the displayed frame in RGB."""
        image: Image.Image = self.display_frame.to_image()
        return image

    def luma(self) -> NDArray[np.uint8]:
        """Return a copy of the displayed frame's luma plane, [H, W]."""
        return plane_view(self.display_frame, 0).copy()


def plane_view(raw: Any, index: int) -> NDArray[np.uint8]:
    """Return a view of one plane of an 8-bit planar frame, [H, W], without line padding."""
    source = raw.planes[index]
    lines = np.frombuffer(source, np.uint8).reshape(-1, source.line_size)
    return lines[: source.height, : source.width]


class VideoReader(PacketDecoder):
    """An open video: its numbered frames from the start, or spans of it."""

    def __init__(self, path: Path, threads: int, conversions: Sequence[str] = ()) -> None:
        self.field_filters = field_filters(conversions)
        self._can_skip = True
        """False once a span could not be decoded without frames that nobody needs."""
        self._needed_frames: NeededFrames | None = None
        super().__init__(path, threads)

    def open(self) -> None:
        super().open()
        self.pixel_aspect = PixelAspect(self.container, self.stream)
        self.display_transform = DisplayTransform(self.pixel_aspect.of)
        self._raw_frames = self._decode_all()
        self._next: Any = None
        self._next_number: int | None = 0
        """Number of the frame that comes next; None after a seek."""
        self._needed_frames = None

    @property
    def is_seekable(self) -> bool:
        """Return False where only decoding from the start tells which frames there are.

        That is so for raw streams, animated images, and cycles of five telecined frames.
        """
        container_format = self.container.format
        has_times = not container_format.flags & ContainerFlags.no_timestamps.value
        is_whole = has_times and container_format.name not in ANIMATED_IMAGES
        return bool(is_whole and not drops_frames(self.field_filters))

    def frames(self) -> Iterator[Frame]:
        """Yield every frame from the start, in presentation order."""
        for number, raw in enumerate(self._decode_all()):
            yield Frame(number, raw.pts, raw, self.display_transform)

    def span(
        self, span: Span, *, by_count: bool = False, only: Collection[int] | None = None
    ) -> Iterator[Frame]:
        """Yield exactly the frames of one span; raise MediaError if they differ from the scan's.

        only: numbers of the frames that are needed; where it can, the decoder skips others.

        `by_count` counts frames from the start of the video instead of seeking. It is slower, and
        needed where timestamps jump back, since a timestamp is then ambiguous.
        """
        by_count = by_count or not self.is_seekable
        if only is not None and not by_count and (needed := self._needed(span, only)) is not None:
            yield from needed
            return
        frames = self._frames_by_count(span) if by_count else self._frames_by_seek(span)
        count = 0
        for frame in frames:
            if count == 0 and frame.pts != span.start_pts:
                raise self._changed_since_scan(span, f"its first frame is at {frame.pts}")
            count += 1
            yield frame
        if count != span.frames:
            raise self._changed_since_scan(span, f"it has {count} frames")

    def _needed(self, span: Span, only: Collection[int]) -> list[Frame] | None:
        """Return some frames of a span; None if the span must be decoded whole, from a seek on."""
        if not self._can_skip or self.field_filters or not NeededFrames.can_read(self.stream):
            return None
        if self._needed_frames is None:
            reach = SEEK_MARGIN_SECONDS, MAX_FORWARD_DECODE_SECONDS
            self._needed_frames = NeededFrames(self, *reach)
        try:
            found = self._needed_frames.of(span, only)
        except NotSkippableError:
            self._can_skip = False
            self.restart()
            return None
        self._next = self._next_number = None
        return [Frame(n, raw.pts, raw, self.display_transform) for n, raw in found]

    def _frames_by_seek(self, span: Span) -> Iterator[Frame]:
        """Yield frames by timestamp, decoding on from the previous span where that is near."""
        self._needed_frames = None
        if not self._is_near(span.start_pts):
            self._seek(span.start_pts - self._filter_ticks)
        number = span.start_frame
        while (raw := self._peek()) is not None and raw.pts < span.end_pts:
            self._next = None
            if raw.pts >= span.start_pts:
                yield Frame(number, raw.pts, raw, self.display_transform)
                number += 1

    def _frames_by_count(self, span: Span) -> Iterator[Frame]:
        """Yield frames by number, decoding on, or from the start of the video."""
        if self._next_number is None or self._next_number > span.start_frame:
            self.restart()
        number = self._next_number or 0
        while number < span.end_frame and (raw := self._peek()) is not None:
            self._next = None
            self._next_number = number + 1
            if number >= span.start_frame:
                yield Frame(number, raw.pts, raw, self.display_transform)
            number += 1

    def _is_near(self, pts: int) -> bool:
        if self._next is None:
            return False
        gap = pts - self._next.pts
        return bool(0 <= gap * self.stream.time_base <= MAX_FORWARD_DECODE_SECONDS)

    def _seek(self, pts: int) -> None:
        """Seek to a keyframe presented at or before `pts`, or to the start of the video."""
        for margin in SEEK_MARGIN_SECONDS:
            try:
                self.seek(pts - int(margin / self.stream.time_base))
            except MediaError:
                break
            self._next_number = None
            self._raw_frames = self._decode_all()
            self._next = next((raw for raw in self._raw_frames if raw.key_frame), None)
            if self._next is not None and self._next.pts <= pts:
                return
        self.restart()

    def _peek(self) -> Any:
        """Return the next frame without consuming it; None at the end."""
        if self._next is None:
            self._next = next(self._raw_frames, None)
        return self._next

    def decode_packets(self, packets: Iterable[Any]) -> Iterator[RawFrame]:
        """Yield the frames that packets decode to, made progressive by the conversions."""
        frames = self._with_last(frame for packet in packets for frame in self.decode(packet))
        if not self.field_filters:
            return frames
        return without_fields(frames, self.field_filters, Fraction(self.stream.average_rate or 25))

    def _with_last(self, frames: Iterable[RawFrame]) -> Iterator[RawFrame]:
        """Yield frames, the last one with the flags of damage behind it."""
        held: RawFrame | None = None
        for frame in frames:
            if held is not None:
                yield held
            held = frame
        if held is not None:
            yield RawFrame(held.raw, held.flags | self.damage.last_flags())

    def raw_frames_from(self, seconds: float) -> Iterator[Any]:
        """Yield raw frames from a keyframe at or before a time on, or from the start."""
        with suppress(MediaError):
            if self.is_seekable:
                start = self.stream.start_time or 0
                self.seek(start + int(seconds / self.stream.time_base))
                return self._decode_all()
        self.restart()
        return self._decode_all()

    @property
    def _filter_ticks(self) -> int:
        """Return the ticks before a frame from which a filter must see frames."""
        return FILTER_REACH * self._frame_ticks if self.field_filters else 0

    def _decode_all(self) -> Iterator[Any]:
        return (frame.raw for frame in self.decode_packets(self.packets()))

    def _changed_since_scan(self, span: Span, difference: str) -> MediaError:
        return MediaError(
            f"{self.path.name!r} no longer decodes as it was scanned: frames "
            f"{span.start_frame}-{span.end_frame} start at tick {span.start_pts}, but {difference}"
        )
