"""Check packets by what their container and a second decoder know; their own may notice nothing."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from brickfilm.media.damage import FLAGGING_CODECS, SUSPECT, set_mark

CLUSTER, CRC = b"\x1f\x43\xb6\x75", b"\xbf\x84"
"""IDs of a cluster and, with its size, of the CRC-32 of what follows in it (RFC 9559; RFC 8794).

FFmpeg writes clusters with one to Matroska, and without one to WebM, and checks none."""
HEAD_BYTES = 4 + 8 + 6
"""Bytes of the longest head: ID, size and CRC."""
CHUNK_BYTES = 1 << 20
CHECKING_DECODERS = {"vp8": ("libvpx", "vp8"), "vp9": ("libvpx-vp9",)}
"""Decoders that notice damage which FFmpeg's own shows: libvpx knows where a frame of VP9 ends.

Of VP8 neither notices any, but they read on in different ways; both decode whole data to the bit
(RFC 6386)."""


def mark_undecodable(packets: Iterable[Any], codec: str, threads: int) -> Iterator[Any]:
    """Yield packets; mark those that other decoders, where there are any, cannot decode alike.

    Decoders that never could may lack a part of the codec, and mark nothing.
    """
    if codec not in CHECKING_DECODERS:
        yield from packets
        return
    decoders = [av.CodecContext.create(name, "r") for name in CHECKING_DECODERS[codec]]
    decoders[0].thread_count = threads  # FFmpeg's own, with more than one, would return frames late
    can_decode = False
    for packet in packets:
        is_decoded = _decode_alike(decoders, packet) if packet.size else None
        can_decode |= bool(is_decoded)
        if can_decode and is_decoded is False:
            set_mark(packet, SUSPECT)
        yield packet


def _decode_alike(decoders: Sequence[Any], packet: Any) -> bool | None:
    """Return True if all decoders return the same frames, None if they return none."""
    try:
        first, *others = [decoder.decode(packet) for decoder in decoders]
    except av.FFmpegError:
        return False
    if not all(
        len(frames) == len(first) and all(map(_is_same, first, frames)) for frames in others
    ):
        return False
    return bool(first) or None


def _is_same(one: Any, other: Any) -> bool:
    return all(map(np.array_equal, _picture(one), _picture(other)))


def _picture(frame: Any) -> list[NDArray[np.uint8]]:
    """Return Y, Cb and Cr of a frame, without alpha and without line padding."""
    return [
        np.frombuffer(p, np.uint8).reshape(-1, p.line_size)[: p.height, : p.width]
        for p in frame.planes[:3]
    ]


def mark_clusters(packets: Iterable[Any], path: Path, codec: str) -> Iterator[Any]:
    """Yield a Matroska file's packets; mark those of clusters that differ from their checksums.

    Decoders that flag damage say it more exactly: a cluster may hold seconds.
    """
    if codec in FLAGGING_CODECS:
        yield from packets
        return
    with path.open("rb") as file:
        damaged = list(damaged_clusters(file))
    for packet in packets:
        if packet.pos is not None and any(packet.pos in cluster for cluster in damaged):
            set_mark(packet, SUSPECT)
        yield packet


def damaged_clusters(file: BinaryIO) -> Iterator[range]:
    """Yield the bytes of clusters that differ from their CRC-32, each up to the next cluster."""
    start = _find_cluster(file, 0)
    while start is not None:
        end = _sound_end(file, start)
        following = _find_cluster(file, end or start + len(CLUSTER))
        if end is None:
            yield range(start, following or file.seek(0, 2))
        start = following


def _sound_end(file: BinaryIO, start: int) -> int | None:
    """Return where to look for the next cluster, None if this one is damaged.

    One without a CRC, or that the file ends in, cannot be checked.
    """
    file.seek(start)
    head = file.read(HEAD_BYTES)
    size_bytes = 9 - head[4].bit_length() if len(head) == HEAD_BYTES else 9
    crc_start = len(CLUSTER) + size_bytes
    if size_bytes > 8 or head[crc_start : crc_start + 2] != CRC:
        return start + len(CLUSTER)
    size = int.from_bytes(head[len(CLUSTER) : crc_start]) & (1 << 7 * size_bytes) - 1
    body = crc_start + len(CRC) + 4
    file.seek(start + body)
    crc, missing = _crc(file, size - len(CRC) - 4)
    is_sound = missing or crc == int.from_bytes(head[body - 4 : body], "little")
    return start + crc_start + size if is_sound else None


def _crc(file: BinaryIO, size: int) -> tuple[int, int]:
    """Return the CRC-32 of the next bytes, and how many are missing."""
    crc = 0
    while size > 0 and (chunk := file.read(min(size, CHUNK_BYTES))):
        crc, size = zlib.crc32(chunk, crc), size - len(chunk)
    return crc, size


def _find_cluster(file: BinaryIO, start: int) -> int | None:
    """Return the first place of a cluster's ID from `start` on."""
    file.seek(start)
    before = b""
    while chunk := file.read(CHUNK_BYTES):
        data = before + chunk
        if (found := data.find(CLUSTER)) >= 0:
            return file.tell() - len(data) + found
        before = data[1 - len(CLUSTER) :]
    return None
