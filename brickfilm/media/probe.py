"""Read a video's properties from its container, and check that the file is complete."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from brickfilm.errors import MediaError
from brickfilm.media.decode import VideoReader, open_video

AV_TIME_BASE = 1_000_000
"""Ticks a second of a container's duration (libavutil)."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Properties of a video stream."""

    fps: Fraction
    """Average over the stream, from the container."""
    time_base: Fraction
    width: int
    height: int
    """Upright, square pixels."""
    duration: float
    """Seconds."""
    codec: str
    container: str


def probe(path: Path) -> VideoInfo:
    """Open a video and decode its first frame; raise MediaError if it is truncated or broken."""
    _check_not_empty(path)
    with open_video(path) as reader:
        _check_not_truncated(reader, path)
        first = next(reader.frames(), None)
        if first is None:
            raise MediaError(f"{path.name!r} has a video stream without a frame: fetch it again")
        stream = reader.stream
        return VideoInfo(
            fps=Fraction(stream.average_rate or stream.guessed_rate or 0),
            time_base=Fraction(stream.time_base),
            width=first.size[0],
            height=first.size[1],
            duration=_duration_seconds(reader),
            codec=str(stream.codec_context.name),
            container=str(reader.container.format.name),
        )


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes in hex; raise MediaError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{path.name!r} cannot be read: {error.strerror}") from error


def _check_not_empty(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise MediaError(f"{path.name!r} cannot be read: {error.strerror}") from error
    if size == 0:
        raise MediaError(f"{path.name!r} is empty (0 bytes): fetch it again")


def _check_not_truncated(reader: VideoReader, path: Path) -> None:
    """Raise MediaError if the container's index points past the end of the file."""
    entries = reader.stream.index_entries
    end = max((entry.pos + entry.size for entry in entries), default=0)
    size = path.stat().st_size
    if end > size:
        raise MediaError(
            f"{path.name!r} is truncated: its index reaches to byte {end} of {size}: fetch it again"
        )


def _duration_seconds(reader: VideoReader) -> float:
    stream = reader.stream
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return (reader.container.duration or 0) / AV_TIME_BASE
