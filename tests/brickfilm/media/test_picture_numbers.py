"""Pictures that a program stream lost as a whole: what is predicted from them is damaged."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import av
import pytest

from brickfilm.media.damage import FrameFlag, mark_of
from brickfilm.media.packet_decoder import PacketDecoder
from brickfilm.media.picture_numbers import mark_lost_pictures, picture_number
from tests.kit.odd_videos import Film

FRAMES, GOP = 60, 20
SLICE = b"\0\0\1"
"""Start code of a slice, which its row follows."""


def decoded(path: Path) -> list[tuple[FrameFlag, bytes]]:
    decoder = PacketDecoder(path, 1)
    try:
        frames = [f for packet in decoder.checked_packets() for f in decoder.decode(packet)]
    finally:
        decoder.close()
    return [(frame.flags, frame.raw.to_ndarray(format="gray").tobytes()) for frame in frames]


@pytest.mark.parametrize(("b_frames", "lost"), [("0", 30), ("2", 31)], ids=["P", "PB"])
def test_what_is_predicted_from_a_lost_picture_is_damaged(
    b_frames: str, lost: int, tmp_path: Path
) -> None:
    film = tmp_path / "film.m2v"
    options = {"bf": b_frames, "g": str(GOP)}
    Film(codec="mpeg2video", size=(96, 64), frames=FRAMES, options=options).write(film)
    with av.open(str(film)) as container:
        pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    truth = decoded(film)
    assert [len(truth), any(flags & FrameFlag.DAMAGED for flags, _ in truth)] == [FRAMES, False]
    found = picture_number(pictures[lost])
    assert found and not found.is_b

    film.write_bytes(b"".join(pictures[:lost] + pictures[lost + 1 :]))
    left, drawn = decoded(film), {content for _, content in truth}
    assert not {content for _, content in left} <= drawn
    whole = [content for flags, content in left if not flags & FrameFlag.DAMAGED]
    assert {*whole} <= drawn
    assert len(whole) > FRAMES - GOP


def test_a_frame_that_failed_to_decode_is_no_keyframe_without_timestamps(tmp_path: Path) -> None:
    film = tmp_path / "film.m2v"
    size, options = (320, 240), {"bf": "2", "g": "1"}
    Film(codec="mpeg2video", size=size, frames=20, options=options).write(film)
    with av.open(str(film)) as container:
        pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    drawn = {content for _, content in decoded(film)}

    noise = SLICE + b"\x3b" + random.Random(1).randbytes(3000)
    last, third = (pictures[n].rindex(SLICE + bytes([row])) for n, row in ((10, 10), (13, 3)))
    merged = pictures[10][: last + 200] + noise + pictures[13][third:]
    film.write_bytes(b"".join([*pictures[:10], merged, *pictures[14:]]))
    left = decoded(film)
    shown = [content in drawn for _, content in left]
    assert shown.count(False) == 1
    assert [not flags & FrameFlag.DAMAGED for flags, _ in left] == shown


@dataclass
class Packet:
    """A packet of a picture of MPEG-2, as the generator reads it."""

    number: int
    kind: int
    size: int = 6
    opaque: list[str] = field(default_factory=list)

    def __bytes__(self) -> bytes:
        return b"\0\0\1\0" + bytes([self.number >> 2, (self.number & 3) << 6 | self.kind << 3])


@pytest.mark.parametrize(
    ("numbers", "marked"),
    [
        ([0, 1, 2, 3, 4, 5, 8, 9], [8]),
        ([0, 1, 2, 3, 4, 5, 6, 7], []),
        ([0] * 8, []),
        ([0, 7, 3, 9, 20, 1, 5], []),
        ([1021, 1022, 1023, 0, 1, 2, 3], []),
    ],
    ids=["a gap", "none", "no numbers", "other numbers", "past the end"],
)
def test_numbers_that_never_were_regular_are_not_believed(
    numbers: list[int], marked: list[int]
) -> None:
    packets = [Packet(number, 2) for number in numbers]
    assert [p.number for p in mark_lost_pictures(packets) if mark_of(p)] == marked
