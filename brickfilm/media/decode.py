"""Decode the frames of a video: all of them, or exactly one span."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image

from brickfilm.errors import MediaError
from brickfilm.media.display_transform import DisplayTransform
from brickfilm.media.geometry import PixelAspect
from brickfilm.records import Span

SEEK_MARGIN_SECONDS = (0.0, 2.0, 10.0)
"""Seconds to seek before a span, tried in order until a keyframe at or before its start turns up.

Containers index by decode time: with reordered frames the first try may reach a later keyframe."""

MAX_FORWARD_DECODE_SECONDS = 10
"""Seconds to the next span up to which decoding on is cheaper than seeking: a keyframe interval."""


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


@contextmanager
def open_video(path: Path, *, threads: int = 2) -> Iterator[VideoReader]:
    """Open a video and close it on exit: containers left to the garbage collector hang workers."""
    try:
        container = av.open(str(path), metadata_errors="ignore")
    except (av.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path.name!r} is no video that FFmpeg can open ({ffmpeg_error_text(error)}): "
            "a broken or unfinished download, or another kind of file"
        ) from error
    with container:
        yield VideoReader(path, container, _video_stream(container, path), threads)


def ffmpeg_error_text(error: Exception) -> str:
    """Return FFmpeg's message for an error, without its number."""
    return str(getattr(error, "strerror", None) or error)


def _video_stream(container: Any, path: Path) -> Any:
    """Return the stream that a player shows; raise MediaError for none or cover art."""
    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise MediaError(f"{path.name!r} has no video stream: is it sound only?")
    return stream


class VideoReader:
    """An open video: its numbered frames from the start, or spans of it."""

    def __init__(self, path: Path, container: Any, stream: Any, threads: int) -> None:
        self.path = path
        self.threads = threads
        self.container = container
        self.stream = stream
        self.display_transform = DisplayTransform(PixelAspect(container, stream))
        self._frame_iterator: Iterator[Any] = iter(())
        self._next: Any = None
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads

    def frames(self) -> Iterator[Frame]:
        """Yield every frame from the start, in presentation order."""
        for number, raw in enumerate(self._decode()):
            yield Frame(number, self.pts_of(raw), raw, self.display_transform)

    def packets(self) -> Iterator[Any]:
        """Yield the stream's remaining packets; the last one is empty."""
        with self._wrap_ffmpeg_errors():
            yield from self.container.demux(self.stream)

    def decode(self, packet: Any) -> list[Any]:
        """Return the raw frames that a packet completes; an empty packet drains the decoder."""
        with self._wrap_ffmpeg_errors():
            return list(self.stream.codec_context.decode(packet))

    def flush(self) -> list[Any]:
        """Return the decoder's remaining raw frames and reset it for another keyframe."""
        remaining = self.decode(None)
        self.stream.codec_context.flush_buffers()
        return remaining

    def span(self, span: Span, *, by_count: bool = False) -> Iterator[Frame]:
        """Yield exactly the frames of one span; raise MediaError if they differ from the scan's.

        `by_count` counts frames from the start of the video instead of seeking. It is slower, and
        needed where timestamps jump back, since a timestamp is then ambiguous.
        """
        frames = self._frames_by_count(span) if by_count else self._frames_by_seek(span)
        count = 0
        for frame in frames:
            if count == 0 and frame.pts != span.start_pts:
                raise self._changed_since_scan(span, f"its first frame is at {frame.pts}")
            count += 1
            yield frame
        if count != span.frames:
            raise self._changed_since_scan(span, f"it has {count} frames")

    def _frames_by_seek(self, span: Span) -> Iterator[Frame]:
        """Yield frames by timestamp, decoding on from the previous span where that is near."""
        if not self._is_near(span.start_pts):
            self._seek(span.start_pts)
        number = span.start_frame
        while (raw := self._peek()) is not None and raw.pts < span.end_pts:
            self._next = None
            if raw.pts >= span.start_pts:
                yield Frame(number, raw.pts, raw, self.display_transform)
                number += 1

    def _frames_by_count(self, span: Span) -> Iterator[Frame]:
        """Yield frames by number, decoding from the start of the video."""
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
        """Seek to a keyframe presented at or before `pts`."""
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
        """Return the next frame without consuming it; None at the end."""
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
                f"{self.path.name!r} cannot be decoded to its end: "
                f"{ffmpeg_error_text(error)}: fetch it again"
            ) from error

    def pts_of(self, raw: Any) -> int:
        """Return a raw frame's timestamp in ticks; raise MediaError if it has none."""
        if raw.pts is None:
            raise MediaError(
                f"{self.path.name!r} has a frame without a timestamp: remux it into mp4 or mkv"
            )
        return int(raw.pts)

    def _changed_since_scan(self, span: Span, difference: str) -> MediaError:
        return MediaError(
            f"{self.path.name!r} no longer decodes as it was scanned: frames "
            f"{span.start_frame}-{span.end_frame} start at tick {span.start_pts}, but {difference}"
        )
