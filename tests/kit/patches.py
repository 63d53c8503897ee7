"""Videos of eight patches of known RGB, in any matrix, range, depth and subsampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

PATCHES = (
    *((190, 190, 190), (190, 190, 10), (10, 190, 190), (10, 190, 10)),
    *((190, 10, 190), (190, 10, 10), (10, 10, 190), (120, 80, 40)),
)
"""RGB of the patches, four above and four below."""
MATRICES = {"bt709": 1, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "bt2020nc": 9}
"""Names to numbers of H.273, table 4."""
LUMA_WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114)}
LUMA_WEIGHTS |= {2: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
"""Kr and Kb by number; 2 is 'unspecified', which FFmpeg reads as BT.601."""

OPTIONS = {
    "libx264": {"crf": "4", "preset": "ultrafast"},
    "libx265": {"crf": "4", "preset": "ultrafast", "x265-params": "log-level=none:bframes=0"},
    "ffv1": {},
    "mpeg2video": {"b": "20M", "maxrate": "20M", "bufsize": "8M"},
}
"""Encoder options by codec."""

Planes = list[NDArray[np.uint16]]


@dataclass(frozen=True)
class Patches:
    """A video of the eight patches with a grey bar that moves."""

    path: Path
    _: KW_ONLY
    size: tuple[int, int] = (320, 180)
    pix_fmt: str = "yuv420p"
    matrix: int = 1
    transfer: int = 1
    primaries: int = 1
    full: bool = False
    tagged: bool = True
    codec: str = "libx264"
    frames: int = 20
    turned: int = 0
    mirrored: bool = False
    pixel_aspect: Fraction = Fraction(1)
    container_options: Mapping[str, str] = field(default_factory=dict)
    colors: tuple[tuple[float, float, float], ...] = PATCHES
    """Encoded values, 0 to 255: R'G'B'."""

    def write(self) -> Path:
        """Write the video; return its path."""
        options = dict(self.container_options)
        with av.open(str(self.path), "w", options=options) as container:
            stream = container.add_stream(self.codec, rate=24, options=OPTIONS[self.codec])
            stream.width, stream.height, stream.pix_fmt = *self.size, self.pix_fmt
            context = stream.codec_context
            context.sample_aspect_ratio = self.pixel_aspect
            if self.turned or self.mirrored:
                stream.set_display_rotation(self.turned, hflip=self.mirrored)
            if self.tagged:
                context.colorspace, context.color_trc = self.matrix, self.transfer
                context.color_primaries = self.primaries
                context.color_range = 2 if self.full else 1
            for n in range(self.frames):
                container.mux(stream.encode(self._frame(n)))
            container.mux(stream.encode())
        return self.path

    def _frame(self, n: int) -> av.VideoFrame:
        frame = av.VideoFrame(*self.size, self.pix_fmt)
        bits = frame.format.components[0].bits
        width, height = self.size
        rgb = np.zeros((height, width, 3))
        for k, color in enumerate(self.colors):
            row, column = divmod(k, 4)
            down, right = height // 2, -(-width // 4)
            rgb[row * down :, column * right : (column + 1) * right] = color
        bar = n * 8 % (width - 16)
        rgb[height // 2 - 4 : height // 2 + 4, bar : bar + 16] = 160
        for plane, values in zip(frame.planes, self._planes(rgb / 255, bits), strict=True):
            step_y, step_x = -(-height // plane.height), -(-width // plane.width)
            small = values[::step_y, ::step_x][: plane.height, : plane.width]
            dtype = np.uint8 if bits == 8 else np.uint16
            lines = np.zeros((plane.height, plane.line_size // dtype().itemsize), dtype)
            lines[:, : plane.width] = small
            plane.update(lines.tobytes())
        if self.tagged:
            frame.colorspace, frame.color_trc = self.matrix, self.transfer
            frame.color_primaries, frame.color_range = self.primaries, 2 if self.full else 1
        frame.pts, frame.time_base = n, Fraction(1, 24)
        return frame

    def _planes(self, rgb: NDArray[Any], bits: int) -> Planes:
        if self.pix_fmt.startswith("gbr"):
            return [np.round(rgb[..., c] * (2**bits - 1)).astype(np.uint16) for c in (1, 2, 0)]
        kr, kb = LUMA_WEIGHTS[self.matrix]
        luma = rgb @ (kr, 1 - kr - kb, kb)
        chroma = [(rgb[..., c] - luma) / (2 - 2 * k) for c, k in ((2, kb), (0, kr))]
        scale = 2 ** (bits - 8)
        if self.full:
            top = 2**bits - 1
            values = [luma * top, *(c * top + 128 * scale for c in chroma)]
        else:
            values = [(luma * 219 + 16) * scale, *((c * 224 + 128) * scale for c in chroma)]
        return [np.round(v).astype(np.uint16) for v in values]


def patch_error(rgb: NDArray[Any], colors: Any = PATCHES) -> float:
    """Return the greatest difference of a patch's median from its colour, in levels of 255."""
    height, width = rgb.shape[:2]
    worst = 0.0
    for k, color in enumerate(colors):
        row, column = divmod(k, 4)
        top, left = (row + 0.2) * height / 2, (column + 0.25) * width / 4
        box = rgb[int(top) : int(top + height / 4), int(left) : int(left + width / 8)]
        median = np.median(box.reshape(-1, 3).astype(float), axis=0)
        worst = max(worst, float(np.abs(median - color).max()))
    return worst


def rgb_by_tags(frame: av.VideoFrame) -> NDArray[np.float64]:
    """Return an 8-bit yuv420p frame in R'G'B' of 0 to 255 by its tags, without FFmpeg's scaler."""
    assert frame.format.name == "yuv420p", frame.format.name
    planes = []
    for plane in frame.planes:
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        planes.append(lines[: plane.height, : plane.width].astype(float))
    luma, *chroma = planes
    cb, cr = (c.repeat(2, 0).repeat(2, 1)[: luma.shape[0], : luma.shape[1]] for c in chroma)
    cb, cr = cb - 128, cr - 128
    if frame.color_range != 2:
        luma, cb, cr = (luma - 16) * 255 / 219, cb * 255 / 224, cr * 255 / 224
    kr, kb = LUMA_WEIGHTS[frame.colorspace]
    red, blue = luma + (2 - 2 * kr) * cr, luma + (2 - 2 * kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], -1), 0, 255)
