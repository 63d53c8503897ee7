"""Damaged files of each codec: once damage is found, no frame that it reaches is kept."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from brickfilm.media import FrameFlag, VideoReader, open_video
from brickfilm.media.damage import mark_of
from brickfilm.media.packet_checks import (
    has_broken_blocks,
    has_h264_hole,
    has_hevc_hole,
    has_vp8_hole,
    has_wrong_checksum,
)
from brickfilm.media.stream_checks import damaged_clusters, mark_undecodable
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
OTHER_FILMS = {
    "mjpeg.mov": Film(codec="mjpeg", pix_fmt="yuvj420p"),
    "png.mov": Film(codec="png", pix_fmt="rgb24"),
    "vp8.mkv": Film(codec="libvpx"),
}


def write(name: str, path: Path) -> None:
    film = (FILMS | OTHER_FILMS)[name]
    options = {"g": "9", **film.options}
    has_clusters = name in ("vp8.webm", "vp9.webm", "vp8.mkv", "hevc.mkv")
    container = {"cluster_time_limit": "200"} if has_clusters else {}
    Film(film.codec, film.pix_fmt, frames=FRAMES, options=options, container=container).write(path)


def damaged(content: bytes, seed: int) -> bytes:
    """Overwrite a tenth of a file, by noise or by zeros."""
    rng = random.Random(seed)
    start, size = int(len(content) * rng.uniform(0.2, 0.45)), len(content) // 10
    hole = bytes(size) if seed % 2 else rng.randbytes(size)
    return content[:start] + hole + content[start + size :]


def decoded(reader: VideoReader) -> tuple[list[int], list[NDArray[np.int64]], FrameTimestamps]:
    frames = list(reader.decode_packets(reader.checked_packets()))
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


def packets_of(path: Path) -> list[bytes]:
    with open_video(path) as reader:
        return [bytes(packet) for packet in reader.packets() if packet.size]


@pytest.mark.parametrize(
    ("name", "has_hole"),
    [
        ("h264.mkv", has_h264_hole),
        ("h264.h264", has_h264_hole),
        ("hevc.mp4", has_hevc_hole),
        ("hevc.ts", has_hevc_hole),
    ],
)
def test_zeros_in_a_slice_are_found(
    name: str, has_hole: Callable[[bytes], bool], tmp_path: Path
) -> None:
    path = tmp_path / name
    options = {"crf": "4", "g": "40", **(X265 if "hevc" in name else {})}
    Film("libx265" if "hevc" in name else "libx264", size=(320, 180), options=options).write(path)
    packets = packets_of(path)
    assert not any(map(has_hole, packets))
    content, broken = path.read_bytes(), max(packets[6:], key=len)
    hole = broken[: len(broken) // 2] + bytes(8) + broken[len(broken) // 2 + 8 :]
    assert has_hole(hole)
    if broken in content:  # not so where packets of a transport stream divide it
        path.write_bytes(content.replace(broken, hole))
        with open_video(path) as reader:
            _, pictures, times = decoded(reader)
        assert times.damaged[0][0] > 5 or name == "hevc.mp4"  # whose decoder may find it late
        assert times.damaged[-1][1] == len(pictures)


@pytest.mark.parametrize("name", ["vp9.webm", "vp8.mkv", "hevc.mkv", "png.mov"])
def test_a_flipped_bit_is_found_though_its_decoder_shows_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write(name, path)
    with open_video(path, threads=1) as reader:
        _, truth, _ = decoded(reader)
    packets, content = packets_of(path), path.read_bytes()
    for broken in (packets[12], packets[20]):
        middle = content.index(broken) + len(broken) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :])
        with open_video(path, threads=1) as reader:
            _, pictures, times = decoded(reader)
        assert 0 < times.is_damaged.sum() < 30
        for picture in np.asarray(pictures)[~times.is_damaged]:
            assert min(np.abs(picture - t).mean() for t in truth) <= SAME


def marked(packets: list[bytes]) -> list[int]:
    """Return the packets of VP8 that its decoders decode to different frames."""
    checked = mark_undecodable(map(av.Packet, packets), "vp8", threads=2)
    return [n for n, packet in enumerate(checked) if mark_of(packet)]


def test_vp8_that_two_decoders_show_differently_is_damaged(tmp_path: Path) -> None:
    path, found = tmp_path / "vp8.webm", 0
    Film("libvpx", size=(320, 180), options={"b": "4M", "g": "9", "cpu-used": "8"}).write(path)
    packets = packets_of(path)
    assert marked(packets) == []
    place, size = 12, len(packets[12])
    for seed in range(3):
        noise = random.Random(seed).randbytes(20)
        broken = packets[place][: size // 3] + noise + packets[place][size // 3 + 20 :]
        damaged = marked([*packets[:place], broken, *packets[place + 1 :]])
        assert not damaged or damaged[0] == place
        found += bool(damaged)
    assert found >= 2
    assert not any(map(has_vp8_hole, packets))
    assert has_vp8_hole(packets[place] + bytes(256) + packets[place])


def test_a_cluster_that_differs_from_its_checksum_is_found(tmp_path: Path) -> None:
    path = tmp_path / "vp8.mkv"
    write("vp8.mkv", path)
    content = path.read_bytes()
    starts = [match.start() for match in re.finditer(b"\x1f\x43\xb6\x75", content)]
    assert len(starts) > 3
    assert list(damaged_clusters(BytesIO(content))) == []
    assert list(damaged_clusters(BytesIO(content[: starts[-1] + 100]))) == []  # ends inside one
    for place in (starts[1] + 5, starts[1] + 9, starts[1] + 300, starts[2] - 1):
        flipped = bytearray(content)
        flipped[place] ^= 1
        assert list(damaged_clusters(BytesIO(flipped))) == [range(starts[1], starts[2])]


def test_an_encoder_whose_every_frame_has_an_error_damages_none(tmp_path: Path) -> None:
    path, odd = tmp_path / "mjpeg.mov", tmp_path / "odd.mov"
    write("mjpeg.mov", path)
    too_short = b"\xff\xe0\0\4ab"  # an APP0 segment; others are of 6 bytes and more
    with open_video(path) as reader, av.open(str(odd), "w") as copy:
        stream = copy.add_stream_from_template(reader.stream)
        for packet in reader.packets():
            if packet.size:
                changed = av.Packet(bytes(packet)[:2] + too_short + bytes(packet)[2:])
                changed.pts, changed.dts, changed.time_base = (
                    packet.pts,
                    packet.dts,
                    packet.time_base,
                )
                changed.stream = stream
                copy.mux(changed)
    for threads in (1, 2):
        with open_video(odd, threads=threads) as reader:
            _, pictures, times = decoded(reader)
        assert len(pictures) == FRAMES
        assert not times.is_damaged.any()


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
