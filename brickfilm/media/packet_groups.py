"""Find groups of pictures (GOPs) that decode independently, in a stream's packets.

Only length-prefixed H.264 (mp4, mkv) is parsed. Frames after an IDR picture never refer to frames
before it, which other keyframes do not guarantee.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

NAL_IDR_SLICE, NAL_PARAMETER_SETS, NAL_SLICES = 5, (7, 8), (1, 2, 3, 4, 5)
"""NAL unit types (H.264, table 7-1): IDR slice; sequence and picture parameter sets; all slices."""
NAL_REF_IDC = 0b0110_0000
"""Bits of a NAL unit's first byte: 0 in all slices of a picture that none is predicted from."""
START_CODE = b"\0\0\0\1"
MIN_GROUP_PACKETS = 24
"""Minimum packets of a group: starting one costs as much as decoding a frame."""
MAX_GROUP_PACKETS = 300
"""Packets after which a group is divided; x264's default keyframe interval is 250."""

GroupStartPredicate = Callable[[Any], bool]


@dataclass(frozen=True)
class PacketGroup:
    """Consecutive packets of one group; a long group is divided into several of these."""

    packets: list[Any]
    ends_group: bool
    """True for the last packets of their group."""

    @property
    def size(self) -> int:
        """Return the packets' size in bytes."""
        return sum(packet.size for packet in self.packets)


def has_multiple_groups(packets: Iterable[Any], stream: Any) -> bool:
    """Return True if a stream's first packets hold more than one group."""
    groups = packet_groups(packets, group_start_predicate(stream))
    return sum(group.ends_group for group in groups) > 1


def knows_groups(stream: Any) -> bool:
    """Return True for length-prefixed H.264, whose packets are parsed."""
    extradata = stream.codec_context.extradata or b""
    is_h264 = stream.codec_context.name == "h264"
    return bool(is_h264 and len(extradata) >= 7 and extradata[0] == 1)


def _length_size(stream: Any) -> int:
    return int(stream.codec_context.extradata[4] & 3) + 1


def is_disposable(packet: Any, stream: Any) -> bool:
    """Return True if no other frame is predicted from a packet's (`nal_ref_idc` 0 of its slices).

    The stream is one that `knows_groups`.
    """
    units = _nal_units(memoryview(packet), _length_size(stream))
    slices = [unit[0] for unit in units if unit[0] & 31 in NAL_SLICES]
    return bool(slices) and not any(first & NAL_REF_IDC for first in slices)


def changes_parameters(packet: Any, stream: Any) -> bool:
    """Return True if a packet brings parameter sets that its stream's header does not have."""
    extradata = stream.codec_context.extradata
    units = _nal_units(memoryview(packet), _length_size(stream))
    is_new = any(u[0] & 31 in NAL_PARAMETER_SETS and bytes(u) not in extradata for u in units)
    return bool(is_new or packet.has_sidedata("new_extradata"))


def _has_idr_slice(packet: Any, stream: Any) -> bool:
    units = _nal_units(memoryview(packet), _length_size(stream))
    return any(unit[0] & 31 == NAL_IDR_SLICE for unit in units)


def annex_b(packet: Any, stream: Any) -> bytes:
    """Return a packet's NAL units but parameter sets, each behind a start code (H.264, annex B)."""
    units = _nal_units(memoryview(packet), _length_size(stream))
    return b"".join(
        START_CODE + bytes(unit) for unit in units if unit[0] & 31 not in NAL_PARAMETER_SETS
    )


def group_start_predicate(stream: Any) -> GroupStartPredicate:
    """Return a function that takes a stream's packets in order and returns True at a group's start.

    It returns False where that is unknown, and from the packet on that changes the stream's
    parameters: the decoders of other groups would not receive them.
    """
    if not knows_groups(stream):
        return lambda packet: False
    unchanged = True

    def starts_group(packet: Any) -> bool:
        nonlocal unchanged
        unchanged = unchanged and not changes_parameters(packet, stream)
        return unchanged and packet.is_keyframe and _has_idr_slice(packet, stream)

    return starts_group


def _nal_units(data: memoryview, length_size: int) -> Iterator[memoryview]:
    """Yield the NAL units of a packet; each follows its length, stored in `length_size` bytes."""
    offset = 0
    while offset + length_size < len(data):
        start = offset + length_size
        offset = start + int.from_bytes(data[offset:start])
        yield data[start : max(offset, start + 1)]


def packet_groups(
    packets: Iterable[Any], starts_group: GroupStartPredicate
) -> Iterator[PacketGroup]:
    """Yield a stream's packets by group, without the empty packet at its end."""
    pending: list[Any] = []
    for packet in packets:
        if not packet.size:
            continue
        is_start = starts_group(packet)
        if (is_start and len(pending) >= MIN_GROUP_PACKETS) or len(pending) == MAX_GROUP_PACKETS:
            yield PacketGroup(pending, ends_group=is_start)
            pending = []
        pending.append(packet)
    if pending:
        yield PacketGroup(pending, ends_group=True)
