"""Map high dynamic range (PQ, HLG) to standard range: BT.709, with Hable's curve.

The steps and constants are those of FFmpeg's `zscale=t=linear:npl=203, zscale=p=bt709,
tonemap=hable, zscale=t=bt709`, with tables, since PyAV's FFmpeg has no zscale.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from brickfilm.media.color import BT709, ColorTags, hdr_transfer

DIFFUSE_WHITE_NITS = 203.0
"""Luminance that becomes 1.0 of linear light: reference white of ITU-R BT.2408."""
PEAK = 10.0
"""Brightest signal, relative to diffuse white, that the curve maps to white: FFmpeg's default."""
DESATURATION_START = 2.0
"""Luminance from which highlights lose their colour: FFmpeg's default `desat`."""
HLG_PEAK_NITS = 1000.0
HLG_SYSTEM_GAMMA = 1.2
"""Of a display of 1,000 nits (ITU-R BT.2100, table 5)."""
DISPLAY_GAMMA = 2.4
"""Of a BT.709 display (ITU-R BT.1886)."""
BT2020_TO_BT709 = np.array(
    [
        [1.6604910, -0.5876411, -0.0728499],
        [-0.1245505, 1.1328999, -0.0083494],
        [-0.0181508, -0.1005789, 1.1187297],
    ],
    np.float32,
)
"""Linear light between the primaries (ITU-R BT.2087)."""
LUMA_2020 = np.array([[0.2627, 0.6780, 0.0593]], np.float32)
"""Weights of the frame's own matrix, which FFmpeg takes for `desat` after the primaries too."""
OUTPUT_STEPS = 1 << 12
"""Entries of the table from the square root of light to 8 bits."""

Linear = NDArray[np.float32]
"""[..., 3] of linear light, 1.0 is diffuse white."""


def tone_map(raw: Any, width: int, height: int) -> Any:
    """Return a PQ or HLG frame in 8-bit RGB of BT.709, scaled to width and height."""
    codes = raw.reformat(width, height, format="rgb48le", interpolation="BICUBIC").to_ndarray()
    light = _light_table(hdr_transfer(raw))[codes]
    mapped = _compress(_to_bt709(light) if ColorTags.of(raw).is_wide_gamut else light)
    roots = np.sqrt(np.clip(mapped, 0, 1)) * np.float32(OUTPUT_STEPS - 1)
    pixels = _output_table()[(roots + np.float32(0.5)).astype(np.uint16)]
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
    frame.pts, frame.time_base = raw.pts, raw.time_base
    BT709.write_to(frame)
    return frame


@lru_cache(maxsize=2)
def _light_table(transfer: str) -> Linear:
    """Return linear light by 16-bit code."""
    codes = np.linspace(0, 1, 1 << 16)
    return _pq_light(codes) if transfer == "PQ" else _hlg_light(codes)


@lru_cache(maxsize=1)
def _output_table() -> NDArray[np.uint8]:
    light = np.linspace(0, 1, OUTPUT_STEPS) ** 2
    table: NDArray[np.uint8] = np.round(255 * light ** (1 / DISPLAY_GAMMA)).astype(np.uint8)
    return table


def _to_bt709(light: Linear) -> Linear:
    """Convert primaries of BT.2020; colours outside of BT.709 get components below 0."""
    import cv2

    converted: Linear = cv2.transform(light, BT2020_TO_BT709)
    return converted


def _pq_light(codes: NDArray[np.float64]) -> Linear:
    """Decode PQ (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = codes ** (1 / m2)
    nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return np.asarray(nits / DIFFUSE_WHITE_NITS, np.float32)


def _hlg_light(codes: NDArray[np.float64]) -> Linear:
    """Decode HLG (ARIB STD-B67) as a display of 1,000 nits shows it.

    The system gamma is applied to each component, as zscale does; BT.2100 applies it to luminance.
    """
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12)
    return np.asarray(HLG_PEAK_NITS / DIFFUSE_WHITE_NITS * scene**HLG_SYSTEM_GAMMA, np.float32)


def _compress(light: Linear) -> Linear:
    """Desaturate highlights, then scale each pixel by the curve at its largest component."""
    import cv2

    luminance = cv2.transform(light, LUMA_2020).reshape(light.shape[:2])
    if luminance.max() > DESATURATION_START:
        share = np.maximum(luminance - DESATURATION_START, 0) / np.maximum(luminance, 1e-6)
        light = light + (luminance[..., None] - light) * share[..., None]
    red, green, blue = cv2.split(light)
    signal = np.maximum(cv2.max(cv2.max(red, green), blue), 1e-6)
    gain = _hable(signal) / (_hable(PEAK) * signal)
    mapped: Linear = cv2.merge([red * gain, green * gain, blue * gain])
    return mapped


def _hable(x: Any) -> Any:
    """Return John Hable's filmic curve (2010) with its published constants."""
    a, b, c, d, e, f = 0.15, 0.50, 0.10, 0.20, 0.02, 0.30
    return (x * (x * a + b * c) + d * e) / (x * (x * a + b) + d * f) - e / f
