"""Open media files through FFmpeg, and turn its errors into MediaError."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import Flags
from av.stream import Disposition
from PIL import Image

from brickfilm.errors import MediaError, Rejected
from brickfilm.files import DISK_FULL_ERRNOS
from brickfilm.schema.containers import open_options

MAX_PIXELS = 8192 * 4320
"""Pixels of a frame: DCI 8K."""
MAX_PARALLEL_PIXELS = 4096 * 2304
"""Pixels of a frame above which a video is decoded, and its clips written, one at a time.

Reference frames and lookahead take up to 50 bytes of memory a pixel for a decoder or an encoder."""


def open_container(path: Path) -> Any:
    """Open a media file for reading; raise MediaError if FFmpeg cannot, or may not.

    PyAV asks for generated timestamps (GENPTS), which follow the decoding order where a file has
    none. Without them a frame's decode time is its presentation time.
    """
    problem = (
        f"{path.name!r} is no video that FFmpeg can open (a broken or unfinished download, a "
        "playlist, or another kind of file)"
    )
    with media_errors(problem):
        container = av.open(f"file:{path}", metadata_errors="ignore", options=open_options())
    container.flags &= ~Flags.gen_pts.value
    return container


def find_video_stream(container: Any, path: Path) -> Any:
    """Return the stream that a player shows; raise MediaError if there is none to decode."""
    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise MediaError(f"{path.name!r} has no video stream: is it sound only?")
    if stream.codec_context is None:
        raise MediaError(
            f"{path.name!r} has a codec that this FFmpeg cannot decode: convert it to H.264"
        )
    return stream


def check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    """Raise Rejected if a video has more pixels than is safe to decode."""
    if width * height > max_pixels:
        raise Rejected(
            f"{name!r} is {width} x {height} pixels, more than max_pixels={max_pixels}: "
            "scale it down, or raise max_pixels (--max-pixels)",
            reason="too many pixels",
        )


LIBRARY_ERRORS = (
    *(av.FFmpegError, OSError, EOFError, ValueError, LookupError, ArithmeticError, RuntimeError),
    *(SyntaxError, struct.error, Image.DecompressionBombError),  # of Pillow, for damaged stills
)
"""Errors that PyAV and Pillow raise for bad files; a TypeError or AttributeError is a bug."""


@contextmanager
def media_errors(problem: str) -> Iterator[None]:
    """Raise an error of a media library as MediaError: one bad file must fail by itself."""
    try:
        yield
    except MemoryError as error:
        raise MediaError(f"{problem}: it needs more memory than there is") from error
    except LIBRARY_ERRORS as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS:
            raise
        text = ffmpeg_error_text(error) or type(error).__name__
        raise MediaError(f"{problem}: {text}") from error


def ffmpeg_error_text(error: Exception) -> str:
    """Return FFmpeg's message for an error, without its number."""
    return str(getattr(error, "strerror", None) or error)
