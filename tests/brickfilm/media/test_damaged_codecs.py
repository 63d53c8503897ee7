"""Damaged files of each codec: once damage is found, no frame that it reaches is kept."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from brickfilm.media import FrameFlag, VideoReader, open_video
from brickfilm.media.packet_checks import has_broken_blocks, has_hole, has_wrong_checksum
from brickfilm.scan.timestamps import FrameTimestamps
from tests.kit.odd_videos import Film
from tests.kit.timestamps import timestamps

FRAMES = 36
SAME = 1.0
"""Mean difference in levels of 255."""
X265 = {"x265-params": "log-level=none"}
FILMS = {
    "h264.mp4": Film(),
    "h264.mkv": Film(),
    "hevc.mp4": Film(codec="libx265", options=X265),
    "hevc.ts": Film(codec="libx265", options=X265),
    "hevc.mkv": Film(codec="libx265", options=X265),
    "vp8.webm": Film(codec="libvpx"),
    "vp9.webm": Film(codec="libvpx-vp9"),
    "av1.mkv": Film(codec="libsvtav1", options={"preset": "12"}),
    "ffv1.mkv": Film(codec="ffv1", options={"level": "3", "slicecrc": "1"}),
    "ffv1.avi": Film(codec="ffv1", options={"level": "3", "slicecrc": "1"}),
    "mpeg4.mkv": Film(codec="mpeg4", options={"bf": "2"}),
    "mpeg4.avi": Film(codec="mpeg4"),
    "mpeg2.ts": Film(codec="mpeg2video"),
    "mjpeg.avi": Film(codec="mjpeg", pix_fmt="yuvj420p"),
    "prores.mov": Film(codec="prores_ks", pix_fmt="yuv422p10le"),
}


def write(name: str, path: Path) -> None:
    film = FILMS[name]
    options = {"g": "9", **film.options}
    container = {"cluster_time_limit": "200"} if path.suffix == ".webm" else {}
    Film(film.codec, film.pix_fmt, frames=FRAMES, options=options, container=container).write(path)


def damaged(content: bytes, seed: int) -> bytes:
    """Overwrite a tenth of a file, by noise or by zeros."""
    rng = random.Random(seed)
    start, size = int(len(content) * rng.uniform(0.2, 0.45)), len(content) // 10
    hole = bytes(size) if seed % 2 else rng.randbytes(size)
    return content[:start] + hole + content[start + size :]


def decoded(reader: VideoReader) -> tuple[list[int], list[NDArray[np.int64]], FrameTimestamps]:
    frames = list(reader.decode_packets(reader.packets()))
    times = timestamps([1] * (len(frames) - 1), flags=[frame.flags for frame in frames])
    pictures = [frame.raw.to_ndarray(format="gray").astype(np.int64) for frame in frames]
    return [frame.raw.pts for frame in frames], pictures, times


def foreign_frames(path: Path, truth: list[NDArray[np.int64]]) -> Iterator[int | None]:
    """Yield the frames that are kept and show no picture of the film; None if nothing is found."""
    with open_video(path, threads=1) as reader:
        decoded(reader)
        if not reader.damage.found:
            yield None
            return
        reader.restart_strictly()
        pts, pictures, times = decoded(reader)
    for n, picture in enumerate(pictures):
        if not times.is_damaged[n] and min(np.abs(picture - t).mean() for t in truth) > SAME:
            yield pts[n]


@pytest.mark.slow
@pytest.mark.parametrize("name", FILMS)
def test_once_damage_is_found_no_frame_that_it_reaches_is_kept(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write(name, path)
    content, found = path.read_bytes(), 0
    with open_video(path, threads=1) as reader:
        _, truth, times = decoded(reader)
        assert len(truth) == FRAMES
        assert not reader.damage.found
        assert not times.is_damaged.any()
    for seed in range(6):
        path.write_bytes(damaged(content, seed))
        foreign = list(foreign_frames(path, truth))
        found += foreign != [None]
        assert foreign in ([], [None]), seed
    assert found >= 2


def test_the_frames_of_a_group_are_damaged_if_its_decoder_finds_damage_late() -> None:
    key, group = FrameFlag.KEY, FrameFlag.GROUP_DAMAGED
    flags = [key, 0, key, 0, FrameFlag.DAMAGED | group, key, 0, 0, key | group]
    times = timestamps([1] * (len(flags) - 1), flags=flags)
    assert times.damaged == [(2, 8)]


def test_a_flipped_bit_of_ffv1_is_found(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    write("ffv1.mkv", path)
    with open_video(path) as reader:
        packets = [bytes(packet) for packet in reader.packets() if packet.size]
    assert not any(map(has_wrong_checksum, packets))
    for packet in packets[:3]:
        flipped = bytearray(packet)
        flipped[len(packet) // 2] ^= 16
        assert has_wrong_checksum(bytes(flipped))


def test_zeros_in_a_slice_of_h264_are_found(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    Film(size=(320, 180), options={"crf": "4", "g": "40"}).write(path)
    with open_video(path) as reader:
        packets = [bytes(packet) for packet in reader.packets() if packet.size]
    assert not any(map(has_hole, packets))
    content, broken = path.read_bytes(), max(packets[6:], key=len)
    middle = 4 + int.from_bytes(broken[:4]) // 2
    hole = broken[:middle] + bytes(8) + broken[middle + 8 :]
    assert has_hole(hole)
    path.write_bytes(content.replace(broken, hole))
    with open_video(path) as reader:
        _, pictures, times = decoded(reader)
    assert times.damaged[0][0] > 5
    assert times.damaged[-1][1] == len(pictures)


@pytest.mark.parametrize("options", [{"level": "1"}, {"level": "3", "slicecrc": "0"}])
def test_ffv1_without_checksums_has_no_wrong_one(options: dict[str, str], tmp_path: Path) -> None:
    Film(codec="ffv1", options=options).write(tmp_path / "film.mkv")
    with open_video(tmp_path / "film.mkv") as reader:
        packets = [bytes(packet) for packet in reader.packets() if packet.size]
    assert len(packets) == 20
    assert not any(map(has_wrong_checksum, packets))


def test_a_gif_frame_that_is_cut_short_or_swallows_the_next_is_found(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    Film(codec="gif", pix_fmt="rgb8", rate=20).write(path)
    with open_video(path) as reader:
        packets = [bytes(packet) for packet in reader.packets() if packet.size]
    assert not any(map(has_broken_blocks, packets))
    for packet in packets[:3]:
        assert has_broken_blocks(packet[: len(packet) // 2])
        assert has_broken_blocks(packet[:-1])
        assert has_broken_blocks(packet + b"\0")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with open_video(path) as reader:
        _, pictures, times = decoded(reader)
    assert times.damaged == [(len(pictures) - 1, len(pictures))]


@pytest.mark.parametrize("seed", [0, 2])
def test_decoding_on_two_threads_finds_damage_every_time(seed: int, tmp_path: Path) -> None:
    """FFmpeg's frame threads lose flags of concealed frames in one run of six."""
    path = tmp_path / "film.ts"
    Film(frames=FRAMES).write(path)
    data = bytearray(path.read_bytes())
    position = random.Random(seed).randrange(len(data) // 3, len(data) // 2) // 188 * 188
    data[position + 40 : position + 180] = random.Random(seed).randbytes(140)
    path.write_bytes(data)
    for _ in range(8):
        with open_video(path, threads=2) as reader:
            decoded(reader)
            assert reader.damage.found
