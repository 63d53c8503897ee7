"""Interlaced and telecined videos whose frames carry numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

from tests.brickworld.barcode import draw_barcode

Picture = NDArray[np.uint8]
PULLDOWN = ((0, 0), (0, 1), (1, 2), (2, 2), (3, 3))
"""Frames of a film that the first and the second field of five video frames come from (3:2)."""


@dataclass(frozen=True)
class FieldFilm:
    """A film of a block that moves sideways, stored in fields.

    Both fields of an interlaced frame carry its number; their pictures are half a step apart.
    """

    path: Path
    _: KW_ONLY
    kind: Literal["interlaced", "telecine", "progressive"]
    frames: int = 60
    """Video frames; a telecine of five holds four frames of the film."""
    size: tuple[int, int] = (360, 240)
    bottom_first: bool = False
    flagged: bool = True
    codec: str = "mpeg2video"
    turned: int = 0

    def write(self) -> Path:
        options = {"flags": "+ilme+ildct"} if self.flagged else {}
        options |= {} if self.codec == "mpeg2video" else {"crf": "8", "preset": "ultrafast"}
        with av.open(str(self.path), "w") as container:
            rate = Fraction(30000, 1001) if self.kind == "telecine" else Fraction(25)
            stream = container.add_stream(self.codec, rate=rate, options=options)
            stream.width, stream.height = self.size
            stream.pix_fmt = "yuv420p"
            stream.bit_rate = 8_000_000
            if self.turned:
                stream.set_display_rotation(self.turned)
            for picture in self._pictures():
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame.reformat(format="yuv420p")))
            container.mux(stream.encode())
        return self.path

    def _pictures(self) -> Iterator[Picture]:
        for n in range(self.frames):
            if self.kind == "telecine":
                first, second = (4 * (n // 5) + k for k in PULLDOWN[n % 5])
                yield self._woven(self._picture(first, first), self._picture(second, second))
            elif self.kind == "interlaced":
                yield self._woven(self._picture(2 * n, n), self._picture(2 * n + 1, n))
            else:
                yield self._picture(2 * n, n)

    def _woven(self, first: Picture, second: Picture) -> Picture:
        if self.bottom_first:
            first, second = second, first
        woven = first.copy()
        woven[1::2] = second[1::2]
        return woven

    def _picture(self, time: int, number: int) -> Picture:
        width, height = self.size
        picture = self._texture[:, 3 * time : 3 * time + width].copy()
        left = 4 * time % (width - 60)
        picture[height // 4 : height // 2, left : left + 50] = (210, 60, 40)
        draw_barcode(picture, number)
        return picture

    @cached_property
    def _texture(self) -> Picture:
        """Return waves wide enough for every picture's part."""
        columns = np.arange(self.size[0] + 6 * self.frames + 6)
        lines = np.arange(self.size[1])[:, None]
        waves = np.sin(columns / 9) + np.sin((lines - columns) / 23)
        return np.repeat((118 + 50 * waves).astype(np.uint8)[..., None], 3, axis=2)
