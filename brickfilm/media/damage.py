"""Tell which frames of a damaged stream are whole."""

from __future__ import annotations

from enum import IntFlag
from typing import Any

from av.video.frame import PictureType

AFTER_LOSS = "after loss"
"""Mark (`packet.opaque`) of the first packet that could be read after others could not."""


class FrameFlag(IntFlag):
    """What the decoder and the container say of a frame; stored by the scan."""

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
        """Whether any damage was found so far."""
        self.reset()

    def reset(self) -> None:
        """Begin at another keyframe."""
        self._concealed = False
        """Whether frames are predicted from one that the decoder flagged."""
        self._lost = False
        """Whether a packet was lost and no later keyframe was shown yet."""
        self._lost_pts: int | None = None
        self._repairs: set[int | None] = set()
        """Timestamps of the keyframes that were fed to the decoder since a packet was lost."""
        self._after_gap = False
        """Whether the demuxer missed data after the packet before."""

    def feed(self, packet: Any) -> None:
        """Note a packet before it is decoded."""
        is_keyframe = packet.is_keyframe
        if packet.opaque == AFTER_LOSS or (self._after_gap and packet.size and not is_keyframe):
            self.lose(packet)
        self._after_gap = packet.is_corrupt
        if self._lost and is_keyframe:
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
