"""Decode some frames of spans, without those that nothing else is predicted from.

Only length-prefixed H.264 (mp4, mkv): its packets say if others refer to them (`nal_ref_idc`), and
where a group of pictures begins. The pictures are those of a full decode.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import takewhile
from typing import Any, NamedTuple

from brickfilm.errors import MediaError
from brickfilm.media.container import MAX_PARALLEL_PIXELS
from brickfilm.media.damage import FrameFlag, mark_of
from brickfilm.media.packet_decoder import PacketDecoder, RawFrame
from brickfilm.media.packet_groups import group_start_predicate, is_disposable, knows_groups
from brickfilm.records import Span

MAX_WAITING = 2048
"""Packets that wait to be decoded: a longer span is decoded whole."""


class NotSkippableError(Exception):
    """The frames cannot be told or decoded by themselves: decode all of the span."""


class _Entry(NamedTuple):
    """A packet that was read and not decoded."""

    packet: Any
    starts_group: bool
    is_disposable: bool


class NeededFrames:
    """Read spans of one video in order, each decoded from where the one before ended or by seeking.

    Raise NotSkippableError where packets are damaged, or do not match the span.
    """

    def __init__(self, reader: PacketDecoder, margins: Collection[float], max_gap: float) -> None:
        self._reader = reader
        self._margins, self._max_gap = margins, max_gap
        self._packets: Iterator[Any] | None = None
        self._entries: list[_Entry] = []
        self._times: list[int] = []
        """Timestamps of the packets that were read, from the start of the last span on."""
        self._end = 0
        self._held: dict[int, RawFrame] = {}
        """Frames behind the last span that the decoder has shown already."""

    @staticmethod
    def can_read(stream: Any) -> bool:
        """Return False for other codecs, and for frames too large to hold several of."""
        if not knows_groups(stream):
            return False
        size = stream.codec_context.width * stream.codec_context.height
        return bool(size <= MAX_PARALLEL_PIXELS)

    def of(self, span: Span, numbers: Collection[int]) -> list[tuple[int, Any]]:
        """Return (number, raw frame) of frames of a span, in order."""
        gap = (span.start_pts - self._end) * self._reader.stream.time_base
        if self._packets is None or not 0 <= gap <= self._max_gap:
            self._seek(span.start_pts)
        self._read_to(span.end_pts)
        self._times = [t for t in self._times if t >= span.start_pts]
        times = sorted(t for t in self._times if t < span.end_pts)
        if len(times) != span.frames or times[:1] != [span.start_pts]:
            raise NotSkippableError
        wanted = {times[n - span.start_frame]: n for n in sorted(numbers)}
        self._end = span.end_pts
        self._held = {t: frame for t, frame in self._held.items() if t >= span.start_pts}
        frames = self._decode(set(wanted))
        return [(number, frames[t].raw) for t, number in wanted.items()]

    def _seek(self, pts: int) -> None:
        """Go to the start of a group at or before `pts`."""
        for margin in self._margins:
            try:
                self._reader.seek(pts - int(margin / self._reader.stream.time_base))
            except MediaError as error:
                raise NotSkippableError from error
            self._packets = self._reader.packets()
            self._starts_group = group_start_predicate(self._reader.stream)
            self._entries, self._times, self._held = [], [], {}
            if self._read() and self._entries[0].starts_group and self._times[0] <= pts:
                return
        raise NotSkippableError

    def _read(self) -> bool:
        """Read a packet; return False at the end."""
        assert self._packets is not None
        packet = next(self._packets, None)
        if packet is None or not packet.size:
            return False
        if packet.pts is None or mark_of(packet):
            raise NotSkippableError
        stream = self._reader.stream
        self._entries.append(
            _Entry(packet, self._starts_group(packet), is_disposable(packet, stream))
        )
        self._times.append(packet.pts)
        return True

    def _read_to(self, pts: int) -> None:
        """Read at least all packets of frames that are shown before `pts`."""
        while not (self._entries and _is_behind(self._entries[-1], pts)):
            if not self._read():
                return
            if len(self._entries) > MAX_WAITING:
                raise NotSkippableError

    def _decode(self, wanted: set[int]) -> dict[int, RawFrame]:
        """Return the frames of these timestamps; leave the packets behind them for the next span.

        Once all wanted packets are sent, no other is skipped: the decoder shows frames late, and
        those of the next span come out before the last ones of this one.
        """
        found = {t: frame for t, frame in self._held.items() if t in wanted}
        while missing := wanted - found.keys():
            if not self._entries and not self._read():
                self._collect(self._reader.flush(), found, wanted)
                if wanted - found.keys():
                    raise NotSkippableError
                return found
            group = self._next_group()
            sent = [n for n, entry in enumerate(group) if entry.packet.pts in missing]
            is_later = any(e.packet.pts in missing for e in self._entries[len(group) :])
            if not sent and is_later:
                self._collect(self._reader.flush(), found, wanted)
                del self._entries[: len(group)]
                continue
            self._decode_group(group, sent[-1] if sent else -1, found, wanted)
        return found

    def _next_group(self) -> list[_Entry]:
        """Return the entries before the next start of a group but the first, as far as read."""
        rest = takewhile(lambda entry: not entry.starts_group, self._entries[1:])
        return [self._entries[0], *rest]

    def _decode_group(
        self, group: list[_Entry], last: int, found: dict[int, RawFrame], wanted: set[int]
    ) -> None:
        """Decode a group up to its last wanted packet, and on until all wanted ones are shown."""
        for n, (packet, _, can_be_skipped) in enumerate(group):
            if n > last and wanted <= found.keys():
                del self._entries[:n]
                return
            is_of_span = packet.pts < self._end
            if not (n < last and can_be_skipped and is_of_span and packet.pts not in wanted):
                self._collect(self._reader.decode(packet), found, wanted)
        del self._entries[: len(group)]
        if self._entries:  # another group begins
            self._collect(self._reader.flush(), found, wanted)

    def _collect(
        self, frames: list[RawFrame], found: dict[int, RawFrame], wanted: set[int]
    ) -> None:
        for frame in frames:
            if self._reader.damage.found or frame.flags & FrameFlag.DAMAGED:
                raise NotSkippableError
            frame.raw.time_base = self._reader.stream.time_base  # flushing gives none
            if frame.raw.pts in wanted:
                found[frame.raw.pts] = frame
            elif frame.raw.pts >= self._end:
                self._held[frame.raw.pts] = frame


def _is_behind(entry: _Entry, pts: int) -> bool:
    """Return True if this packet's frame, and those of all later packets, are shown from `pts` on.

    No frame is shown before it is decoded, and none before the start of a group that follows it.
    """
    packet = entry.packet
    is_decoded_late = packet.dts is not None and packet.dts >= pts
    return bool(is_decoded_late or (entry.starts_group and packet.pts >= pts))
