"""Read a video's properties from its container, and check that the file is complete."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from operator import mul
from pathlib import Path

from brickfilm.errors import MediaError
from brickfilm.media.container import MAX_PIXELS, check_size, media_errors
from brickfilm.media.decode import Frame, VideoReader
from brickfilm.media.open_video import open_video
from brickfilm.media.picture_info import PictureInfo
from brickfilm.media.still_sequence import StillSequence

AV_TIME_BASE = 1_000_000
"""Ticks a second of a container's duration (libavutil)."""
SEQUENCE_FORMAT = "stills"
"""First part of the format of a sequence of stills, before the images' own format."""
SECONDS_OF_FIELDS = (3600, 60, 1)
HEADER_DURATION_FORMATS = ("asf", "avi", "flv", "matroska", "mov", "mxf")
"""Formats whose header states the duration; for others, FFmpeg estimates it from what is there."""


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
    header_seconds: float
    """Duration of the video stream that the header states, 0 if it states none."""
    codec: str
    container: str
    picture: PictureInfo
    sha256: str = ""
    """Of a sequence of stills: their bytes, numbers and rate."""
    first_number: int = 0
    """Of a sequence of stills."""


def probe(path: Path, *, whole: bool = True, max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """Open a video and decode its first frame; raise MediaError if it is broken.

    whole: raise MediaError too if the file ends before its index does, as an unfinished download.
    max_pixels: raise Rejected for larger frames.
    """
    _check_not_empty(path)
    with media_errors(f"{path.name!r} cannot be read"), open_video(path) as reader:
        if whole:
            _check_not_truncated(reader, path)
        context = reader.stream.codec_context
        check_size(path.name, context.width, context.height, max_pixels)
        first = next(reader.frames(), None)
        if first is None:
            raise MediaError(
                f"{path.name!r} has no frame that can be decoded "
                f"({reader.error_text or 'its stream is empty'}): fetch it again"
            )
        return _video_info(reader, first)


def _video_info(reader: VideoReader, first: Frame) -> VideoInfo:
    stream, duration = reader.stream, _duration_seconds(reader)
    return VideoInfo(
        fps=Fraction(stream.average_rate or stream.guessed_rate or 0),
        time_base=Fraction(stream.time_base),
        width=first.size[0],
        height=first.size[1],
        duration=duration,
        header_seconds=_header_seconds(reader),
        codec=str(stream.codec_context.name),
        container=str(reader.container.format.name),
        picture=PictureInfo.of(reader, first, duration),
    )


def probe_stills(sequence: StillSequence, fps: Fraction, max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """Read the headers of a sequence; raise MediaError if its sizes or numbers do not fit."""
    width, height = sequence.check(max_pixels)
    lines = [f"{number} {sha256_of(file)}\n" for number, file in sequence.files]
    return VideoInfo(
        fps=fps,
        time_base=1 / fps,
        width=width - width % 2,
        height=height - height % 2,
        duration=float(len(sequence.files) / fps),
        header_seconds=0.0,
        codec=sequence.path.suffix.removeprefix("."),
        container=SEQUENCE_FORMAT,
        sha256=hashlib.sha256(f"{fps}\n{''.join(lines)}".encode()).hexdigest(),
        first_number=sequence.files[0][0],
        picture=PictureInfo(has_matrix=True),
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
    return _stream_seconds(reader) or (reader.container.duration or 0) / AV_TIME_BASE


def _stream_seconds(reader: VideoReader) -> float:
    """Return the duration of the video stream alone; 0 if the file does not state it."""
    stream = reader.stream
    if stream.duration:
        return float(stream.duration * stream.time_base)
    tag = str(stream.metadata.get("DURATION", ""))  # of Matroska, as 00:00:15.000000000
    fields = tag.split(":")
    is_valid = len(fields) == len(SECONDS_OF_FIELDS) and all(map(_is_number, fields))
    return sum(map(mul, SECONDS_OF_FIELDS, map(float, fields))) if is_valid else 0.0


def _header_seconds(reader: VideoReader) -> float:
    """Return the video's duration by its header; 0 where it is of all streams, or an estimate."""
    if reader.container.format.name.split(",")[0] not in HEADER_DURATION_FORMATS:
        return 0.0
    is_alone = len(reader.container.streams) == 1
    return _stream_seconds(reader) or (_duration_seconds(reader) if is_alone else 0.0)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()
