"""Read the packets of a video stream and decode them, whatever part of the stream is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.codec.context import Flags

from brickfilm.errors import MediaError
from brickfilm.media.container import (
    LIBRARY_ERRORS,
    MAX_PARALLEL_PIXELS,
    MAX_PIXELS,
    ffmpeg_error_text,
    find_video_stream,
    media_errors,
    open_container,
)
from brickfilm.media.damage import (
    AFTER_LOSS,
    MATROSKA,
    RESYNCING_FORMATS,
    DamageTracker,
    FrameFlag,
    mark_gaps,
    mark_skipped_bytes,
    set_mark,
)
from brickfilm.media.packet_checks import BROKEN
from brickfilm.media.picture_numbers import NUMBERED_CODECS, mark_lost_pictures
from brickfilm.media.stream_checks import mark_clusters, mark_undecodable

MAX_UNREADABLE_PACKETS = 100
"""Consecutive errors of a demuxer, which resynchronises after each, before the file is given up."""

STRICT_OPTIONS = {"err_detect": "crccheck+bitstream+buffer"}
"""Decoder's options of a video that is known to be damaged."""
ERROR_OPTIONS = {"err_detect": "crccheck+explode"}
"""Decoder's options for ERROR_CODECS."""
ERROR_CODECS = ("hevc", "mjpeg", "msmpeg4", "msmpeg4v2", "png")
"""Codecs whose decoders tell of damage by errors alone, and only if asked for all of them."""
THREADED_OPTIONS = {"err_detect": "explode"}
"""Decoder's options on several threads, which lose flags of damage, but no errors.

An error that would do no harm leads to a second decode, on one thread without this option."""


class RawFrame(NamedTuple):
    """A decoded frame as stored, and what is known of it."""

    raw: Any
    """An `av.VideoFrame` that has a timestamp."""
    flags: FrameFlag


class PacketDecoder:
    """An open video stream and its decoder. Every decoded frame has a timestamp.

    A packet that cannot be read or decoded is skipped; `flags` says which frames it damages.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self.path = path
        self.threads = threads
        self.error_text = ""
        """FFmpeg's message for the last packet that could not be decoded."""
        self._is_strict = False
        self.open()

    def open(self) -> None:
        """Open the file at its start."""
        self.container = open_container(self.path)
        with ExitStack() as on_error:
            on_error.callback(self.container.close)
            self.stream = find_video_stream(self.container, self.path)
            self._configure_decoder()
            on_error.pop_all()
        self.damage = DamageTracker(self.stream.codec_context.name)
        self._last_pts: int | None = 0 - self._frame_ticks

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def restart(self) -> None:
        """Open the file again at its start, to which not every format can seek."""
        self.close()
        self.open()

    def restart_strictly(self) -> None:
        """Decode a damaged video again from the start: on one thread, and checking more.

        Several threads lose frames around the damage. What is checked (`err_detect`) some encoders
        break in whole videos, so it counts only where damage was found without it.
        """
        self.threads, self._is_strict = 1, True
        self.restart()

    def seek(self, pts: int) -> None:
        """Go to a keyframe at or before `pts` in decoding order; frames before it are forgotten."""
        with media_errors(f"{self.path.name!r} cannot be sought"):
            self.container.seek(pts, stream=self.stream, backward=True)
        self.damage.reset()
        self._last_pts = None

    def packets(self) -> Iterator[Any]:
        """Yield the stream's remaining packets; the last one is empty."""
        name, codec = self.container.format.name, self.stream.codec_context.name
        if name in RESYNCING_FORMATS:
            return mark_skipped_bytes(self._demuxed(), self.stream.index)
        first_step = self._frame_ticks if name == "mpegts" and self._last_pts is not None else 0
        return mark_gaps(self._demuxed(self.stream), codec, first_step)

    def checked_packets(self) -> Iterator[Any]:
        """Yield the stream's packets from its start; mark more damage, in more time."""
        packets, codec = self.packets(), self.stream.codec_context.name
        if self.container.format.name == MATROSKA:
            packets = mark_clusters(packets, self.path, codec)
        if codec in NUMBERED_CODECS:
            packets = mark_lost_pictures(packets)
        return mark_undecodable(packets, codec, self.threads)

    def _demuxed(self, *streams: Any) -> Iterator[Any]:
        failures = 0
        while True:
            try:
                for packet in self.container.demux(*streams):
                    if failures:
                        set_mark(packet, AFTER_LOSS)
                    failures = 0
                    yield packet
                return
            except av.error.InvalidDataError as error:
                failures += 1
                self._check_readable(error, failures <= MAX_UNREADABLE_PACKETS)
            except (av.FFmpegError, OSError) as error:
                self._check_readable(error, False)

    def _check_readable(self, error: Exception, is_readable: bool) -> None:
        self.error_text = ffmpeg_error_text(error)
        if not is_readable:
            raise MediaError(
                f"{self.path.name!r} cannot be read to its end: {self.error_text}: fetch it again"
            ) from error

    def decode(self, packet: Any | None) -> list[RawFrame]:
        """Return the frames that a packet completes; an empty packet drains the decoder."""
        if packet is not None:
            self.damage.feed(packet)
            is_broken = BROKEN.get(self.stream.codec_context.name)
            if is_broken and packet.size and is_broken(bytes(packet)):
                self.damage.lose(is_late=False)
        try:
            frames = list(self.stream.codec_context.decode(packet))
        except MemoryError as error:
            raise MediaError(f"{self.path.name!r} needs more memory than there is") from error
        except av.FFmpegError as error:
            self.error_text = ffmpeg_error_text(error)
            self.damage.lose()
            return []
        except LIBRARY_ERRORS as error:
            raise MediaError(f"{self.path.name!r} cannot be decoded: {error}") from error
        return [frame for raw in frames if (frame := self._timed(raw))]

    def flush(self) -> list[RawFrame]:
        """Return the decoder's remaining frames and reset it for another keyframe."""
        remaining = self.decode(None)
        self.stream.codec_context.flush_buffers()
        self.damage.reset()
        return remaining

    def _timed(self, raw: Any) -> RawFrame | None:
        """Return a raw frame with a timestamp; None if it has none to go by.

        Without a presentation time, it is the decode time of the packet that completed the frame,
        else a step after the frame before.
        """
        flags = self.damage.flags(raw)
        if raw.pts is None:
            flags |= FrameFlag.UNTIMED
            raw.pts = raw.dts
        if raw.pts is None and self._last_pts is not None:
            raw.pts = self._last_pts + (raw.duration or self._frame_ticks)
        if raw.pts is None:
            return None
        self._last_pts = raw.pts
        return RawFrame(raw, flags)

    @property
    def _frame_ticks(self) -> int:
        """Return the ticks of a frame at the stream's average rate, at least 1."""
        rate, time_base = self.stream.average_rate, self.stream.time_base
        return max(1, round(1 / (rate * time_base))) if rate and time_base else 1

    @cached_property
    def _tells_by_errors(self) -> bool:
        """Return True for ERROR_CODECS unless the first packet errs, as some encoders' all do."""
        if self.stream.codec_context.name not in ERROR_CODECS:
            return False
        with open_container(self.path) as container:
            stream = find_video_stream(container, self.path)
            stream.codec_context.options = ERROR_OPTIONS
            try:
                for packet in islice(container.demux(stream), 1):
                    stream.codec_context.decode(packet)
            except av.FFmpegError:
                return False
        return True

    def _configure_decoder(self) -> None:
        """Bound the size of a frame: a stream may change it after the first one."""
        codec_context = self.stream.codec_context
        size = codec_context.width * codec_context.height
        self.threads = self.threads if size <= MAX_PARALLEL_PIXELS else 1
        with media_errors(f"{self.path.name!r} cannot be decoded"):
            options = {"max_pixels": str(max(size, MAX_PIXELS))}
            if self._tells_by_errors:
                options |= ERROR_OPTIONS
            elif self._is_strict:
                options |= STRICT_OPTIONS
            elif self.threads > 1:
                options |= THREADED_OPTIONS
            codec_context.options = options
            self.stream.thread_type = "AUTO"
            codec_context.thread_count = self.threads
            if self.threads == 1:  # threads of a decoder, freeing what Python owns, could deadlock
                codec_context.flags |= Flags.copy_opaque
