"""Read numbered stills as a video: one frame a file, timed by the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
from av.video.reformatter import ColorPrimaries, ColorTrc

from brickfilm.media.color import BT709_MATRIX, ColorTags
from brickfilm.media.container import media_errors
from brickfilm.media.damage import NO_FLAG, DamageTracker
from brickfilm.media.decode import VideoReader
from brickfilm.media.display_transform import DisplayTransform
from brickfilm.media.packet_decoder import RawFrame
from brickfilm.media.still_pixels import read_rgb
from brickfilm.media.still_sequence import StillSequence

BT709 = ColorTags(BT709_MATRIX, ColorPrimaries.BT709, ColorTrc.BT709, is_full_range=False)


class StillReader(VideoReader):
    """An open sequence: a frame's timestamp is its number, counted from the first still's."""

    def open(self) -> None:
        self.threads = 1
        self.damage = DamageTracker()
        self.files = StillSequence(self.path).files
        self.display_transform = DisplayTransform(lambda raw: Fraction(1))
        codec_context = SimpleNamespace(name="stills", extradata=None)
        self.stream = SimpleNamespace(time_base=Fraction(1), codec_context=codec_context)
        self._position = 0
        self._raw_frames = self._decode_all()
        self._next = None
        self._next_number = 0

    def close(self) -> None:
        """Do nothing: each still is closed once it is read."""

    @property
    def is_seekable(self) -> bool:
        return True

    def seek(self, pts: int) -> None:
        target = self.files[0][0] + pts
        positions = (n for n, (number, _) in enumerate(self.files) if number >= target)
        self._position = next(positions, len(self.files))

    def packets(self) -> Iterator[tuple[int, Path]]:
        """Yield the remaining stills, with their numbers."""
        while self._position < len(self.files):
            self._position += 1
            yield self.files[self._position - 1]

    def checked_packets(self) -> Iterator[tuple[int, Path]]:
        return self.packets()

    def decode(self, packet: Any) -> list[RawFrame]:
        """Return the frame of a still."""
        number, file = packet
        with media_errors(f"{file.name!r} of {self.path.name!r} cannot be decoded"):
            rgb = av.VideoFrame.from_ndarray(read_rgb(file), format="rgb24")
            raw = rgb.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        BT709.write_to(raw)
        raw.pts, raw.key_frame = number - self.files[0][0], True
        raw.time_base = Fraction(1)
        return [RawFrame(raw, NO_FLAG)]
