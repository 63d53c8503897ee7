"""Find lost pictures of MPEG-1 and MPEG-2 by the numbers that pictures have.

Program streams have no counters of packets, so nothing else tells that a whole picture is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from brickfilm.media.damage import AFTER_LOSS, set_mark

NUMBERED_CODECS = ("mpeg1video", "mpeg2video")
PICTURE, GROUP = b"\0\0\1\0", b"\0\0\1\xb8"
"""Start codes of a picture and of a group of pictures (ISO/IEC 13818-2, table 6-1)."""
B_PICTURE = 3
NUMBERS = 1024
"""Values of `temporal_reference` (6.3.9), which counts a group's pictures as they are shown."""
MIN_REGULAR = 4
"""Regular references for each irregular one, below which the numbers are not believed."""


class PictureNumber(NamedTuple):
    """Number, type and place of a picture, of its header."""

    number: int
    is_b: bool
    begins_group: bool


def picture_number(packet: bytes) -> PictureNumber | None:
    """Return the number of a packet's first picture; None without a header."""
    start = packet.find(PICTURE)
    header = packet[start + len(PICTURE) : start + len(PICTURE) + 2]
    if start < 0 or len(header) < 2:
        return None
    number = header[0] << 2 | header[1] >> 6
    return PictureNumber(number, header[1] >> 3 & 7 == B_PICTURE, GROUP in packet[:start])


def mark_lost_pictures(packets: Iterable[Any]) -> Iterator[Any]:
    """Yield packets; mark the first that refers to a missing picture.

    Between two references as many B-pictures are shown, and stored behind the later one, as
    numbers lie between them. With fewer, this one may refer to a missing reference; the ones that
    are too many do.
    """
    held: list[Any] = []
    expected = before = None
    regular = irregular = 0
    for packet in packets:
        found = picture_number(bytes(packet)) if packet.size else None
        if held and packet.size and (found is None or found.is_b):
            held.append(packet)
            continue
        if held and expected is not None:
            count = len(held) - 1
            if count != expected and regular >= MIN_REGULAR * (irregular + 1):
                set_mark(held[0 if count < expected else 1 + expected], AFTER_LOSS)
            regular, irregular = regular + (count == expected), irregular + (count != expected)
        yield from held
        held, expected = [packet], None
        if found is not None:
            if before not in (None, found.number) and not found.begins_group:
                expected = (found.number - before - 1) % NUMBERS
            before = found.number
    yield from held
