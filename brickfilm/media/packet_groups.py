"""Groups of pictures that decode by themselves, found in a film's packets.

Only H.264 as mp4 and mkv hold it is looked into. There every packet says what it is made of, and
what follows an IDR picture refers to nothing before it, which other keyframes do not promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

NAL_IDR_SLICE, NAL_PARAMETER_SETS = 5, (7, 8)
"""Kinds of NAL units (H.264, table 7-1): of an instant refresh, and sequence and picture sets."""
MIN_GROUP_PACKETS = 24
"""Packets in a group at least: to begin one costs what decoding a frame does."""
MAX_GROUP_PACKETS = 300
"""Packets in a part at most; x264 puts a keyframe every 250 frames or sooner, unless asked."""

GroupStartPredicate = Callable[[Any], bool]


@dataclass(frozen=True)
class PacketGroup:
    """Packets of one group: all of them, or as many as were to be held at once."""

    packets: list[Any]
    ends_group: bool
    """Whether the next part is of another group."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(packet.size for packet in self.packets)


def has_multiple_groups(packets: Iterable[Any], stream: Any) -> bool:
    """Whether a stream, of which these are the first packets, has more than one group there."""
    return (
        sum(group.ends_group for group in packet_groups(packets, group_start_predicate(stream))) > 1
    )


def group_start_predicate(stream: Any) -> GroupStartPredicate:
    """A function that says of each packet of a stream, in order, whether a group begins with it.

    It says no where that cannot be told. A stream that changes its parameters on the way has no
    groups from there on: other decoders would not know of it.
    """
    known = stream.codec_context.extradata or b""
    if stream.codec_context.name != "h264" or len(known) < 7 or known[0] != 1:
        return lambda packet: False
    length, steady = (known[4] & 3) + 1, True

    def begins(packet: Any) -> bool:
        nonlocal steady
        units = list(_nal_units(memoryview(packet), length))
        foreign = any(
            unit[0] & 31 in NAL_PARAMETER_SETS and bytes(unit) not in known for unit in units
        )
        steady = steady and not foreign and not packet.has_sidedata("new_extradata")
        return (
            steady and packet.is_keyframe and any(unit[0] & 31 == NAL_IDR_SLICE for unit in units)
        )

    return begins


def _nal_units(data: memoryview, length: int) -> Iterator[memoryview]:
    """The NAL units of a packet, each behind its own length of so many bytes."""
    at = 0
    while at + length < len(data):
        start = at + length
        at = start + int.from_bytes(data[at:start])
        yield data[start : max(at, start + 1)]


def packet_groups(packets: Iterable[Any], begins: GroupStartPredicate) -> Iterator[PacketGroup]:
    """A stream's packets, group by group, without the empty one at its end."""
    held: list[Any] = []
    for packet in packets:
        if not packet.size:
            continue
        anew = begins(packet)
        if (anew and len(held) >= MIN_GROUP_PACKETS) or len(held) == MAX_GROUP_PACKETS:
            yield PacketGroup(held, ends_group=anew)
            held = []
        held.append(packet)
    if held:
        yield PacketGroup(held, ends_group=True)
