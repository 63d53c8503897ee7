"""Tell which frames of a damaged stream are whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntFlag
from typing import Any

from av.video.frame import PictureType

AFTER_LOSS = "after loss"
"""Mark of the first packet that could be read after others could not."""
SUSPECT = "suspect"
"""Mark of a packet whose own data may be damaged, so that it repairs nothing as a keyframe."""
MATROSKA = "matroska,webm"
RESYNCING_FORMATS = ("avi", "flv", MATROSKA)
"""Formats whose demuxers skip over damaged bytes without a word."""
MAX_HEADER_BYTES = 256
"""Bytes between two packets of those formats that headers explain."""
MAX_FIRST_STEP = 1.5
"""Frames from a stream's first packet to its second above which there is a gap."""
FLAGGING_CODECS = ("flv1", "h263", "h264", "mpeg1video", "mpeg2video", "mpeg4")
"""Codecs whose decoders flag what they conceal; others decode damaged data to other pictures."""


def set_mark(packet: Any, mark: str) -> None:
    """Mark a packet, in `packet.opaque`.

    PyAV finds the object by its address, and forgets it with the first packet that has it: each
    packet gets an object of its own.
    """
    packet.opaque = [mark]


def mark_of(packet: Any) -> str:
    """Return a packet's mark, or ''."""
    return str(packet.opaque[0]) if packet.opaque else ""


def mark_gaps(packets: Iterable[Any], codec: str, frame_ticks: int = 0) -> Iterator[Any]:
    """Yield packets; mark the ones that a gap in the data may have damaged.

    The demuxer flags the packet before the one in or after which it missed data. If a keyframe
    follows that one, as at the seam of joined streams, only frames shown before the keyframe, but
    stored after it, refer to what was lost.
    frame_ticks: usual step, where a longer first one is a gap; FFmpeg's parser forgets its flag.
    """
    before: Any | None = None
    held: Any | None = None
    for packet in packets:
        if held is not None:
            if before is not None and before.is_corrupt:
                _mark_damaged(held, packet, codec)
            elif before is None and _is_gap(held, packet, frame_ticks):
                set_mark(packet, AFTER_LOSS)
            yield held
        before, held = held, packet
    if held is not None:
        yield held


def _mark_damaged(packet: Any, following: Any, codec: str) -> None:
    if codec not in FLAGGING_CODECS:
        set_mark(packet, SUSPECT)
    elif not following.is_keyframe:
        set_mark(packet, AFTER_LOSS)
    if following.size:
        set_mark(following, AFTER_LOSS)


def _is_gap(first: Any, second: Any, frame_ticks: int) -> bool:
    is_timed = frame_ticks > 0 and None not in (first.dts, second.dts)
    return is_timed and second.dts - first.dts > MAX_FIRST_STEP * frame_ticks


def mark_skipped_bytes(packets: Iterable[Any], stream_index: int) -> Iterator[Any]:
    """Yield one stream's packets of all streams' ones; mark those beside skipped bytes.

    Only for RESYNCING_FORMATS: there the packets of a file lie one behind the other.
    """
    held: Any | None = None
    end: int | None = None
    is_gap = False
    for packet in packets:
        if packet.pos is not None and packet.size:
            has_more = any(packet.iter_sidedata())  # alpha, stored behind the packet
            is_gap |= end is not None and packet.pos - end > MAX_HEADER_BYTES
            end = None if has_more else packet.pos + packet.size
        if packet.stream_index != stream_index:
            continue
        if held is not None:
            if is_gap:
                set_mark(held, SUSPECT)
                set_mark(packet, AFTER_LOSS)
            yield held
        held, is_gap = packet, False
    if held is not None:
        yield held


class FrameFlag(IntFlag):
    """Mark a frame by what decoder and container report; stored by the scan."""

    DAMAGED = 1
    """Concealed, or predicted from a frame that is damaged or missing."""
    BIDIRECTIONAL = 2
    """A B-frame: it may be predicted from a frame that is shown later."""
    UNTIMED = 4
    """The stream has frames without a presentation time: decode times are used."""
    KEY = 8
    """Whole, and predicted from no other frame."""
    GROUP_DAMAGED = 16
    """Damaged, or after damage, in a codec whose damage may show before it is found: frames before
    this one, back to a keyframe, may be damaged."""


NO_FLAG = FrameFlag(0)


class DamageTracker:
    """Follow one decoder: a lost packet damages all frames until the next keyframe.

    Frames carry the numbers of their packets only if `copy_opaque` is set; without it they count as
    those of the last one.

    Decoders flag a frame that they conceal, but not the frames that are predicted from it. Those
    of codecs that are none of FLAGGING_CODECS fail late, so frames before may be damaged too.
    """

    def __init__(self, codec: str = "") -> None:
        self._is_flagging = codec in FLAGGING_CODECS
        self.found = False
        """True if any damage was found so far."""
        self.reset()

    def reset(self) -> None:
        """Begin at another keyframe."""
        self._concealed = False
        """True while frames are predicted from one that the decoder flagged."""
        self._lost = False
        """True if a packet was lost and no later keyframe was shown yet."""
        self._is_late = False
        """True if packets before the lost one may be damaged as well."""
        self._fed = 0
        """Number of the last packet; timestamps may be missing, or jump back."""
        self._first_lost = 0
        """Number of the first packet that was lost since the last repair."""
        self._repairs: set[int] = set()
        """Numbers of keyframes that were fed since one was lost."""

    def feed(self, packet: Any) -> None:
        """Note a packet before it is decoded, and number it."""
        self._fed += 1
        mark = mark_of(packet)
        packet.opaque = [mark, self._fed]
        if mark:
            self._lose()
        if self._lost and packet.is_keyframe and mark != SUSPECT:
            self._repairs.add(self._fed)

    def lose(self, *, is_late: bool = True) -> None:
        """Note that the last packet could not be decoded. is_late: ones before may be damaged."""
        self._is_late |= is_late and not self._is_flagging
        self._lose()

    def _lose(self) -> None:
        if not self._lost:
            self._first_lost = self._fed
        self.found = self._lost = True
        self._repairs.clear()

    def flags(self, raw: Any) -> FrameFlag:
        """Return a decoded frame's flags; call it once for every frame, in output order."""
        flags = self._damage_flags(raw, raw.opaque[1] if raw.opaque else self._fed)
        return flags | FrameFlag.BIDIRECTIONAL if raw.pict_type == PictureType.B else flags

    def _damage_flags(self, raw: Any, number: int) -> FrameFlag:
        """Return the flags of the frame of a packet."""
        if raw.is_corrupt:
            self.found = True
            self._is_late = not self._is_flagging
        group = FrameFlag.GROUP_DAMAGED if self._is_late else NO_FLAG
        if raw.key_frame:
            self._concealed = False
            self._lost = self._lost and number not in self._repairs
        self._concealed |= raw.is_corrupt
        if self._concealed or (self._lost and number >= self._first_lost):
            return FrameFlag.DAMAGED | group
        if not raw.key_frame:
            return NO_FLAG
        self._is_late = self._is_late and self._lost
        return FrameFlag.KEY | group

    def last_flags(self) -> FrameFlag:
        """Return more flags of the last frame, behind which packets may have been lost."""
        if not (self._lost and self._is_late):
            return NO_FLAG
        return FrameFlag.DAMAGED | FrameFlag.GROUP_DAMAGED
