"""Decode a written clip completely and count its frames, to prove that it is intact."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from brickfilm.errors import MediaError
from brickfilm.media.container import ffmpeg_error_text
from brickfilm.schema.containers import open_options


@dataclass(frozen=True)
class DecodeStats:
    """The frame count, size and duration of a decoded clip."""

    frames: int
    width: int
    height: int
    seconds: float
    """From the start of the first frame to the end of the last."""


def decode_stats(content: bytes) -> DecodeStats:
    """Decode an encoded clip on one thread; raise MediaError if any part of it is broken."""
    try:
        with av.open(io.BytesIO(content), options=open_options()) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            return _collect_stats(container.decode(stream), Fraction(stream.time_base or 1))
    except (av.FFmpegError, OSError, IndexError) as error:
        raise MediaError(f"the clip cannot be decoded: {ffmpeg_error_text(error)}") from error


def _collect_stats(frames: Iterator[Any], time_base: Fraction) -> DecodeStats:
    count, first, end, size = 0, 0, 0, (0, 0)
    for frame in frames:
        first = frame.pts if count == 0 else first
        end = frame.pts + (frame.duration or 0)
        size = (frame.width, frame.height)
        count += 1
    return DecodeStats(count, *size, float((end - first) * time_base))
