"""Frames of a film, exactly those asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image as Picture

from brickfilm.errors import MediaError
from brickfilm.media.display_transform import DisplayTransform
from brickfilm.records import Span

SEEK_MARGIN_SECONDS = (0.0, 2.0, 10.0)
"""Seconds to seek before a span, one after another, until a keyframe lies at or before its start.

Containers index by decoding time, so with reordered frames the first try can land too late."""

MAX_FORWARD_DECODE_SECONDS = 10
"""Seconds to the next span up to which going on is cheaper than seeking: keyframes are as rare."""


@dataclass
class Frame:
    """One decoded frame, upright and square only when asked."""

    number: int
    pts: int
    """Ticks of the stream's time base."""
    raw: Any
    display_transform: DisplayTransform = field(repr=False)
    _display_frame: Any = field(default=None, repr=False)

    @property
    def duration(self) -> int:
        """Ticks, as the container says; 0 where it does not."""
        return int(self.raw.duration or 0)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as a viewer sees them: upright, square pixels, even."""
        return self.display_transform.display_size(self.raw)

    @property
    def display_frame(self) -> Any:
        """The frame as yuv420p, upright, in square pixels: made once, shared by all who ask."""
        if self._display_frame is None:
            self._display_frame = self.display_transform(self.raw)
        return self._display_frame

    def image(self) -> Picture.Image:
        """The shown frame in RGB."""
        picture: Picture.Image = self.display_frame.to_image()
        return picture

    def luma(self) -> NDArray[np.uint8]:
        """A copy of the shown frame's brightness, [H, W]."""
        return plane_view(self.display_frame, 0).copy()


def plane_view(raw: Any, index: int) -> NDArray[np.uint8]:
    """A view of one plane of an 8-bit planar frame, [H, W], padding cut off."""
    source = raw.planes[index]
    lines = np.frombuffer(source, np.uint8).reshape(-1, source.line_size)
    return lines[: source.height, : source.width]


@contextmanager
def open_video(path: Path, *, threads: int = 2) -> Iterator[VideoReader]:
    """A film, closed again whatever happens. Containers left to the collector hang workers."""
    try:
        container = av.open(str(path), metadata_errors="ignore")
    except (av.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path.name!r} is no film that FFmpeg can open ({ffmpeg_error_text(error)}): "
            "a broken or unfinished download, or not a video at all"
        ) from error
    with container:
        yield VideoReader(path, container, _video_stream(container, path), threads)


def ffmpeg_error_text(error: Exception) -> str:
    """FFmpeg's own words for an error, without its number."""
    return str(getattr(error, "strerror", None) or error)


def _video_stream(container: Any, path: Path) -> Any:
    """The stream a player would show; cover art is no film."""
    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise MediaError(f"{path.name!r} has no video stream: is it sound only?")
    return stream


class VideoReader:
    """An open film: numbered frames from its start, or spans of it."""

    def __init__(self, path: Path, container: Any, stream: Any, threads: int) -> None:
        self.path = path
        self.threads = threads
        self.container = container
        self.stream = stream
        self.display_transform = DisplayTransform(Fraction(stream.sample_aspect_ratio or 1))
        self._frame_iterator: Iterator[Any] = iter(())
        self._next: Any = None
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads

    def frames(self) -> Iterator[Frame]:
        """Every frame from the start, in the order shown."""
        for number, raw in enumerate(self._decode()):
            yield Frame(number, self.pts_of(raw), raw, self.display_transform)

    def packets(self) -> Iterator[Any]:
        """What the stream is made of from here on; the last one is empty."""
        with self._wrap_ffmpeg_errors():
            yield from self.container.demux(self.stream)

    def decode(self, packet: Any) -> list[Any]:
        """The raw frames that a packet brings to light: of an empty one, all that are left."""
        with self._wrap_ffmpeg_errors():
            return list(self.stream.codec_context.decode(packet))

    def flush(self) -> list[Any]:
        """The raw frames that are left, after which the decoder may begin with another keyframe."""
        left = self.decode(None)
        self.stream.codec_context.flush_buffers()
        return left

    def span(self, span: Span, *, by_count: bool = False) -> Iterator[Frame]:
        """The frames of one span, or MediaError: never one too many, too few or of elsewhere.

        `by_count` counts frames from the film's start instead of seeking: slower, and the only
        way where the film's clock jumps back, since a timestamp is then no place.
        """
        found = self._frames_by_count(span) if by_count else self._frames_by_seek(span)
        count = 0
        for frame in found:
            if count == 0 and frame.pts != span.start_pts:
                raise self._changed_since_scan(span, f"its first frame is at {frame.pts}")
            count += 1
            yield frame
        if count != span.frames:
            raise self._changed_since_scan(span, f"{count} frames were found there")

    def _frames_by_seek(self, span: Span) -> Iterator[Frame]:
        """By timestamp, going on from where the last span ended if that is near."""
        if not self._is_near(span.start_pts):
            self._seek(span.start_pts)
        number = span.start_frame
        while (raw := self._peek()) is not None and raw.pts < span.end_pts:
            self._next = None
            if raw.pts >= span.start_pts:
                yield Frame(number, raw.pts, raw, self.display_transform)
                number += 1

    def _frames_by_count(self, span: Span) -> Iterator[Frame]:
        """By number, from the film's start."""
        self.container.seek(0)
        self._next = None
        for frame in self.frames():
            if frame.number >= span.end_frame:
                return
            if frame.number >= span.start_frame:
                yield frame

    def _is_near(self, pts: int) -> bool:
        if self._next is None:
            return False
        gap = pts - self._next.pts
        return bool(0 <= gap * self.stream.time_base <= MAX_FORWARD_DECODE_SECONDS)

    def _seek(self, pts: int) -> None:
        """To a keyframe shown at or before `pts`: what follows it is whole."""
        for margin in SEEK_MARGIN_SECONDS:
            target = pts - int(margin / self.stream.time_base)
            self.container.seek(target, stream=self.stream, backward=True)
            self._frame_iterator = (raw for raw in self._decode() if self.pts_of(raw) is not None)
            self._next = next((raw for raw in self._frame_iterator if raw.key_frame), None)
            if self._next is not None and self._next.pts <= pts:
                return
        self.container.seek(0)
        self._frame_iterator, self._next = self._decode(), None

    def _peek(self) -> Any:
        """The next frame of the running decode, left in place; None at the end."""
        if self._next is None:
            self._next = next(self._frame_iterator, None)
        return self._next

    def _decode(self) -> Iterator[Any]:
        return (raw for packet in self.packets() for raw in self.decode(packet))

    @contextmanager
    def _wrap_ffmpeg_errors(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise MediaError(
                f"{self.path.name!r} cannot be decoded to its end: {ffmpeg_error_text(error)}"
            ) from error

    def pts_of(self, raw: Any) -> int:
        """Ticks of the stream's time base."""
        if raw.pts is None:
            raise MediaError(
                f"{self.path.name!r} has a frame without a timestamp: remux it into mp4 or mkv"
            )
        return int(raw.pts)

    def _changed_since_scan(self, span: Span, found: str) -> MediaError:
        return MediaError(
            f"{self.path.name!r} decodes otherwise than when it was scanned: frames "
            f"{span.start_frame}-{span.end_frame} from tick {span.start_pts}, but {found}"
        )
