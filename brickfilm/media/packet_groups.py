"""Groups of pictures that decode by themselves, found in a film's packets.

Only H.264 as mp4 and mkv hold it is looked into. There every packet says what it is made of, and
what follows an IDR picture refers to nothing before it, which other keyframes do not promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

IDR, PARAMETERS = 5, (7, 8)
"""Kinds of NAL units (H.264, table 7-1): of an instant refresh, and sequence and picture sets."""
SHORTEST = 24
"""Packets in a group at least: to begin one costs what decoding a frame does."""
LONGEST = 300
"""Packets in a part at most; x264 puts a keyframe every 250 frames or sooner, unless asked."""

BeginsAnew = Callable[[Any], bool]


@dataclass(frozen=True)
class Part:
    """Packets of one group: all of them, or as many as were to be held at once."""

    packets: list[Any]
    is_last: bool
    """Whether the next part is of another group."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(packet.size for packet in self.packets)


def has_groups(packets: Iterable[Any], stream: Any) -> bool:
    """Whether a stream, of which these are the first packets, has more than one group there."""
    return sum(part.is_last for part in in_parts(packets, begins_anew(stream))) > 1


def begins_anew(stream: Any) -> BeginsAnew:
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
        units = list(_units(memoryview(packet), length))
        foreign = any(unit[0] & 31 in PARAMETERS and bytes(unit) not in known for unit in units)
        steady = steady and not foreign and not packet.has_sidedata("new_extradata")
        return steady and packet.is_keyframe and any(unit[0] & 31 == IDR for unit in units)

    return begins


def _units(data: memoryview, length: int) -> Iterator[memoryview]:
    """The NAL units of a packet, each behind its own length of so many bytes."""
    at = 0
    while at + length < len(data):
        start = at + length
        at = start + int.from_bytes(data[at:start])
        yield data[start : max(at, start + 1)]


def in_parts(packets: Iterable[Any], begins: BeginsAnew) -> Iterator[Part]:
    """A stream's packets, group by group, without the empty one at its end."""
    held: list[Any] = []
    for packet in packets:
        if not packet.size:
            continue
        anew = begins(packet)
        if (anew and len(held) >= SHORTEST) or len(held) == LONGEST:
            yield Part(held, is_last=anew)
            held = []
        held.append(packet)
    if held:
        yield Part(held, is_last=True)
