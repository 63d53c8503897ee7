"""The colour description of a frame: matrix, range, primaries and transfer (ITU-T H.273)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from brickfilm.errors import MediaError

UNSPECIFIED = 2
UNKNOWN_CODES = (UNSPECIFIED, 3)
"""Unspecified and reserved; primaries and transfer reserve 0 too."""
BT709_MATRIX, SMPTE170M_MATRIX, BT2020_MATRIX, RGB_MATRIX = 1, 6, 9, 0
SCALER_MATRICES: Mapping[int, str] = {
    BT709_MATRIX: "bt709",
    4: "fcc",
    5: "bt470bg",
    SMPTE170M_MATRIX: "smpte170m",
    7: "smpte240m",
    BT2020_MATRIX: "bt2020nc",
}
"""The matrices that FFmpeg's scaler converts, by H.273 number, with its names for them."""
MIN_COLOR_COMPONENTS = 3
HDR_TRANSFERS: Mapping[int, str] = {ColorTrc.SMPTE2084: "PQ", ColorTrc.ARIB_STD_B67: "HLG"}
"""Transfers of high dynamic range (ITU-R BT.2100): HDR10, and HLG of phones and broadcasts."""


@dataclass(frozen=True)
class ColorTags:
    """Name the matrix, range, primaries and transfer of YUV values; none is unspecified."""

    matrix: int
    primaries: int
    transfer: int
    is_full_range: bool

    @classmethod
    def of(cls, raw: Any) -> ColorTags:
        """Return a frame's tags, with FFmpeg's reading of what is unspecified.

        Without a matrix that is BT.601, at any size; primaries and transfer are then those of
        BT.709, so that players convert neither. Raise MediaError for a matrix that cannot be read.
        """
        matrix, is_rgb = int(raw.colorspace), _is_rgb(raw)
        if is_rgb or matrix == RGB_MATRIX:
            matrix = BT709_MATRIX if is_rgb else SMPTE170M_MATRIX
        elif matrix in UNKNOWN_CODES:
            matrix = SMPTE170M_MATRIX
        if matrix not in SCALER_MATRICES:
            raise MediaError(
                f"colours are stored in matrix {matrix} of ITU-T H.273, which cannot be converted: "
                "convert the video to BT.709"
            )
        default = ColorPrimaries.BT2020 if matrix == BT2020_MATRIX else ColorPrimaries.BT709
        return cls(
            matrix,
            _known(raw.color_primaries, default),
            _known(raw.color_trc, ColorTrc.BT709),
            is_full_range(raw),
        )

    @property
    def as_displayed(self) -> ColorTags:
        """Return the tags after conversion: limited range; BT.709 for high dynamic range."""
        if self.transfer in HDR_TRANSFERS:
            return BT709
        return ColorTags(self.matrix, self.primaries, self.transfer, False)

    @property
    def is_wide_gamut(self) -> bool:
        """Return True for the primaries of BT.2020."""
        return self.primaries == ColorPrimaries.BT2020

    @property
    def scaler_matrix(self) -> str:
        """Return the name of the matrix in FFmpeg's `scale` filter."""
        return SCALER_MATRICES[self.matrix]

    def write_to(self, target: Any) -> None:
        """Set the tags of a frame or of an encoder's context."""
        target.colorspace, target.color_primaries = self.matrix, self.primaries
        target.color_trc = self.transfer
        target.color_range = ColorRange.JPEG if self.is_full_range else ColorRange.MPEG


BT709 = ColorTags(BT709_MATRIX, int(ColorPrimaries.BT709), int(ColorTrc.BT709), False)
"""Tags of standard dynamic range in HD."""


def has_matrix(raw: Any) -> bool:
    """Return True if a frame or a decoder's context names its matrix; RGB has none."""
    return int(raw.colorspace) not in (*UNKNOWN_CODES, RGB_MATRIX)


def is_full_range(raw: Any) -> bool:
    """Return True for luma of 0 to 255 instead of 16 to 235, in 8 bits."""
    if len(raw.format.components) < MIN_COLOR_COMPONENTS and not raw.color_range:
        return True  # grey without a range, as FFmpeg's scaler reads it
    is_full = raw.color_range == ColorRange.JPEG or raw.format.name.startswith("yuvj")
    return bool(is_full or _is_rgb(raw))


def hdr_transfer(raw: Any) -> str:
    """Return 'PQ' or 'HLG' for a frame of high dynamic range, else ''."""
    return HDR_TRANSFERS.get(int(raw.color_trc), "")


def _is_rgb(raw: Any) -> bool:
    return bool(raw.format.is_rgb or raw.format.has_palette)


def _known(code: Any, default: int) -> int:
    return int(default) if int(code) in (0, *UNKNOWN_CODES) else int(code)
