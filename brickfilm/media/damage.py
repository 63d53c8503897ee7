"""Tell which frames of a damaged stream are whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntFlag
from typing import Any

from av.video.frame import PictureType

AFTER_LOSS = "after loss"
"""Mark (`packet.opaque`) of the first packet that could be read after others could not."""


def mark_gaps(packets: Iterable[Any]) -> Iterator[Any]:
    """Yield packets; mark with AFTER_LOSS the first one that a gap in the data may have damaged.

    The demuxer flags the packet before the one in or after which it missed data. If that one is a
    keyframe, decoders find what it lacks, and the next may refer to a lost packet. If a keyframe
    follows, as at the seam of joined streams, nothing refers to what was lost.
    """
    before: Any | None = None
    held: Any | None = None
    for packet in packets:
        if held is not None:
            if before is not None and before.is_corrupt and not packet.is_keyframe:
                (packet if held.is_keyframe else held).opaque = AFTER_LOSS
            yield held
        before, held = held, packet
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


NO_FLAG = FrameFlag(0)


class DamageTracker:
    """Follow one decoder: a lost packet damages all frames until the next keyframe.

    Decoders flag a frame that they conceal, but not the frames that are predicted from it.
    """

    def __init__(self) -> None:
        self.found = False
        """True if any damage was found so far."""
        self.reset()

    def reset(self) -> None:
        """Begin at another keyframe."""
        self._concealed = False
        """True while frames are predicted from one that the decoder flagged."""
        self._lost = False
        """True if a packet was lost and no later keyframe was shown yet."""
        self._lost_pts: int | None = None
        self._repairs: set[int | None] = set()
        """Timestamps of the keyframes that were fed to the decoder since a packet was lost."""

    def feed(self, packet: Any) -> None:
        """Note a packet before it is decoded."""
        if packet.opaque == AFTER_LOSS:
            self.lose(packet)
        if self._lost and packet.is_keyframe:
            self._repairs.add(packet.pts)

    def lose(self, packet: Any | None = None) -> None:
        """Note that a packet could not be read or decoded."""
        if not self._lost:
            self._lost_pts = packet.pts if packet else None
        self.found = self._lost = True
        self._repairs.clear()

    def flags(self, raw: Any) -> FrameFlag:
        """Return a decoded frame's flags; call it once for every frame, in output order."""
        if raw.key_frame:
            self._concealed = False
            self._lost = self._lost and raw.pts not in self._repairs
        if raw.is_corrupt:
            self.found = self._concealed = True
        is_damaged = self._concealed or (self._lost and not self._was_decoded_before_loss(raw))
        flags = FrameFlag.DAMAGED if is_damaged else NO_FLAG
        return flags | FrameFlag.BIDIRECTIONAL if raw.pict_type == PictureType.B else flags

    def _was_decoded_before_loss(self, raw: Any) -> bool:
        """Return True for a frame that only the decoder's reordering delayed."""
        return None not in (raw.pts, self._lost_pts) and raw.pts < self._lost_pts
