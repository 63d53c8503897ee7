"""Lost packets of a transport stream: no damaged frame is taken for a whole one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from brickfilm.media.damage import FrameFlag
from brickfilm.media.packet_decoder import PacketDecoder
from tests.brickworld import BrickFilm, Shot

TS_PACKET = 188  # bytes
LOSSES = 40
FIRST = 3
"""Packets of tables before the first frame."""
SAME = 0.5  # mean difference in levels of 255


@pytest.fixture(scope="module", params=["0", "3"], ids=["P", "PB"])
def stream(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Write 30 frames of H.264 with that many B-frames in a row, a keyframe every 10."""
    folder = tmp_path_factory.mktemp("stream")
    shots = (Shot(frames=30, hold=1),)
    BrickFilm(seed=3, size=(160, 90), shots=shots, fps=Fraction(25)).render(folder / "film.mp4")
    with av.open(str(folder / "film.mp4")) as film, av.open(str(folder / "film.ts"), "w") as copy:
        options = {"preset": "veryfast", "bf": request.param, "g": "10"}
        out = copy.add_stream("libx264", rate=25, options=options)
        out.width, out.height, out.pix_fmt = 160, 90, "yuv420p"
        for frame in film.decode(video=0):
            copy.mux(out.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"))))
        copy.mux(out.encode())
    return folder / "film.ts"


def whole_frames(path: Path) -> dict[int, np.ndarray]:
    """Decode a stream; return the frames that are not flagged as damaged, by timestamp."""
    decoder = PacketDecoder(path, 1)
    try:
        frames = [frame for packet in decoder.packets() for frame in decoder.decode(packet)]
    finally:
        decoder.close()
    return {
        frame.raw.pts: frame.raw.to_ndarray(format="gray").astype(int)
        for frame in frames
        if not frame.flags & FrameFlag.DAMAGED
    }


def test_no_frame_after_a_lost_packet_is_taken_for_whole(stream: Path, tmp_path: Path) -> None:
    content, truth = stream.read_bytes(), whole_frames(stream)
    assert len(truth) == 30
    count = len(content) // TS_PACKET
    kept = 0
    for number in np.linspace(FIRST, count - 1, LOSSES, dtype=int):
        lossy = tmp_path / "lossy.ts"
        lossy.write_bytes(content[: TS_PACKET * number] + content[TS_PACKET * (number + 1) :])
        for pts, picture in whole_frames(lossy).items():
            assert np.abs(picture - truth[pts]).mean() <= SAME, (number, pts)
            kept += 1
    assert kept > LOSSES * 15  # half of the frames on average


def test_the_seam_of_joined_streams_loses_no_frame(stream: Path, tmp_path: Path) -> None:
    joined = tmp_path / "joined.ts"
    joined.write_bytes(stream.read_bytes() * 2)
    decoder = PacketDecoder(joined, 1)
    try:
        frames = [frame for packet in decoder.packets() for frame in decoder.decode(packet)]
    finally:
        decoder.close()
    assert [frame for frame in frames if frame.flags & FrameFlag.DAMAGED] == []
    assert len(frames) == 60
