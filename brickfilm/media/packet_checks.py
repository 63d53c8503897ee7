"""Check data that FFmpeg decodes without a word though it is broken.

FFV1's CRCs, GIF's blocks, and holes of zeros in H.264, HEVC and VP8.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping

TRAILER_BYTES, SIZE_BYTES = 8, 3
"""Bytes behind a slice (RFC 9043, 4.8): its size, an error status, and a CRC-32 of all of it."""
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Bytes with their bits in reverse: FFV1 divides from the highest bit on, zlib from the lowest."""
INVERTED = 0xFFFFFFFF
"""Value that zlib begins with and adds at the end; FFV1 begins with 0 and adds nothing."""

GIF_SCREEN, GIF_IMAGE, GIF_EXTENSION, GIF_END = b"GIF8", 0x2C, 0x21, 0x3B
GIF_SCREEN_BYTES, GIF_IMAGE_BYTES = 13, 10
"""Bytes before a color table: the header and screen descriptor; an image descriptor."""

HOLE = re.compile(rb"\0\0\0+[^\0]")
"""Bytes that no NAL unit of H.264 or HEVC may contain (7.4.1, 7.4.2); zeros may follow one."""
VP8_HOLE = bytes(256)
"""Zeros that hundreds of thousands of symbols of VP8, each the likeliest, would take."""
START_CODE, LONG_START_CODE, NAL_LENGTH_BYTES = b"\0\0\1", b"\0\0\0\1", 4
H264_SLICE_TYPES, HEVC_SLICE_TYPES = range(1, 6), range(32)
"""Types of NAL units that hold coded pictures (tables 7-1)."""


def has_h264_hole(packet: bytes) -> bool:
    """Return True if a slice of H.264 has zeros that no encoder writes."""
    return any(unit[0] & 31 in H264_SLICE_TYPES for unit in _units_with_holes(packet))


def has_hevc_hole(packet: bytes) -> bool:
    """Return True if a slice of HEVC has zeros that no encoder writes."""
    return any(unit[0] >> 1 & 63 in HEVC_SLICE_TYPES for unit in _units_with_holes(packet))


def has_vp8_hole(packet: bytes) -> bool:
    """Return True if a frame of VP8 has more zeros than its arithmetic coder writes."""
    return VP8_HOLE in packet.rstrip(b"\0")


def _units_with_holes(packet: bytes) -> Iterator[bytes]:
    if b"\0\0\0\0" not in packet:  # three belong to start codes and lengths
        return
    is_stream = packet.startswith((START_CODE, LONG_START_CODE))
    units = packet.split(START_CODE)[1:] if is_stream else _length_prefixed_units(packet)
    yield from (unit for unit in units if HOLE.search(unit))


def _length_prefixed_units(packet: bytes) -> list[bytes]:
    """Return the NAL units of a packet, none if its lengths do not lead to its end."""
    start, units = 0, []
    while start + NAL_LENGTH_BYTES < len(packet):
        unit = start + NAL_LENGTH_BYTES
        start = unit + int.from_bytes(packet[start:unit])
        units.append(packet[unit:start])
    return units if start == len(packet) else []


def has_wrong_checksum(packet: bytes) -> bool:
    """Return True if a slice of a frame differs from its CRC; False too if it has none.

    Without checksums the trailers are shorter, so their sizes do not lead to the frame's start.
    """
    end, slices = len(packet), []
    while end >= TRAILER_BYTES:
        trailer = end - TRAILER_BYTES
        start = trailer - int.from_bytes(packet[trailer : trailer + SIZE_BYTES])
        slices.append((start, end))
        end = start
    return end == 0 and any(_has_wrong_crc(packet[start:stop]) for start, stop in slices)


def _has_wrong_crc(data: bytes) -> bool:
    """Return True unless the CRC of data with its CRC at the end is 0."""
    return zlib.crc32(data.translate(REVERSED_BITS), INVERTED) != INVERTED


def has_broken_blocks(packet: bytes) -> bool:
    """Return True if the blocks of a GIF frame do not end where it ends."""
    try:
        end = _color_table_end(packet, 0, GIF_SCREEN_BYTES) if packet[:4] == GIF_SCREEN else 0
        while end < len(packet) and packet[end] != GIF_END:
            end = _block_end(packet, end)
    except IndexError:
        return True
    return end != len(packet) - (packet[-1] == GIF_END)


def _block_end(packet: bytes, start: int) -> int:
    """Return the end of an image or an extension; raise IndexError if it has none."""
    if packet[start] == GIF_IMAGE:
        end = _color_table_end(packet, start, GIF_IMAGE_BYTES) + 1  # of LZW's code size
    elif packet[start] == GIF_EXTENSION:
        end = start + 2
    else:
        raise IndexError
    while size := packet[end]:
        end += size + 1
    return end + 1


def _color_table_end(packet: bytes, start: int, size: int) -> int:
    """Return the end of a descriptor of `size` bytes with its color table."""
    flags = packet[start + (10 if size == GIF_SCREEN_BYTES else size - 1)]
    return start + size + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


BROKEN: Mapping[str, Callable[[bytes], bool]] = {
    "ffv1": has_wrong_checksum,
    "gif": has_broken_blocks,
    "h264": has_h264_hole,
    "hevc": has_hevc_hole,
    "vp8": has_vp8_hole,
}
"""Checks of a packet, by codec."""
