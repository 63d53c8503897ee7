"""Groups of pictures decoded in parallel give the frames of a single decoder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brickfilm.errors import MediaError
from brickfilm.media import (
    DamagedGroupError,
    FrameExtras,
    VideoReader,
    open_video,
    packet_groups,
    reduce,
    reduced_frames,
)

FRAMES = 90
WIDTH, HEIGHT = 208, 120


@pytest.fixture(scope="module", autouse=True)
def small_groups() -> object:
    """Make short videos have many groups, divided groups, and more bytes than may be buffered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packet_groups, "MIN_GROUP_PACKETS", 4)
        patch.setattr(packet_groups, "MAX_GROUP_PACKETS", 16)
        patch.setattr(reduce, "MAX_BUFFERED_BYTES", 30 * WIDTH * HEIGHT)
        yield


def encode(path: Path, frames: int = FRAMES, ticks: int = 1, **x264: object) -> Path:
    """Encode a drifting texture, every frame different; `ticks` of 1/25 s apart."""
    rng = np.random.default_rng(1)
    texture = cv2.resize(rng.integers(0, 256, (30, 60, 3), np.uint8), (2 * WIDTH, HEIGHT))
    x264_params = {"scenecut": 0, "keyint": 12, "bframes": 3, "threads": 2} | x264
    params = ":".join(f"{name.replace('_', '-')}={value}" for name, value in x264_params.items())
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "x264-params": params}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for n in range(frames):
            picture = np.ascontiguousarray(texture[:, 2 * n : 2 * n + WIDTH])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = n * ticks + n % 3 * (ticks > 1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def decoded(path: Path, threads: int) -> list[tuple[object, ...]]:
    """Return everything that a video's reduced frames hold."""
    with open_video(path, threads=threads) as video:
        try:
            return everything(video)
        except DamagedGroupError:
            assert threads > 1
            video.restart_strictly()
            return everything(video)


def everything(video: VideoReader) -> list[tuple[object, ...]]:
    return [
        (
            f.pts,
            f.duration,
            f.size,
            f.luma.tobytes(),
            f.chroma_thumbnail.tobytes(),
            f.bgr.tobytes(),
            f.flags,
        )
        for f in reduced_frames(video, FrameExtras(with_chroma=True))
    ]


def group_sizes(path: Path) -> list[tuple[int, bool]]:
    """Return the packets of each part of a group, and whether the group ends there."""
    with open_video(path) as video:
        starts_group = packet_groups.group_start_predicate(video.stream)
        groups = packet_groups.packet_groups(video.packets(), starts_group)
        return [(len(group.packets), group.ends_group) for group in groups]


@given(
    suffix=st.sampled_from(["mp4", "mkv", "mov"]),
    keyint=st.integers(1, 40),
    bframes=st.integers(0, 5),
    open_gop=st.booleans(),
    refs=st.integers(1, 6),
    slices=st.integers(1, 4),
    intra_refresh=st.booleans(),
    interlaced=st.booleans(),
    ticks=st.sampled_from([1, 4]),
    threads=st.integers(2, 4),
)
@settings(max_examples=25, deadline=None)
def test_any_video_decodes_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    keyint: int,
    bframes: int,
    open_gop: bool,
    refs: int,
    slices: int,
    intra_refresh: bool,
    interlaced: bool,
    ticks: int,
    threads: int,
) -> None:
    path = encode(
        tmp_path_factory.mktemp("film") / f"film.{suffix}",
        ticks=ticks,
        keyint=keyint,
        bframes=bframes,
        open_gop=int(open_gop),
        ref=refs,
        slices=slices,
        intra_refresh=int(intra_refresh),
        tff=int(interlaced),
    )
    found = decoded(path, threads)
    assert len(found) == FRAMES
    assert found == decoded(path, 1)


def test_groups_begin_where_decoding_can(tmp_path: Path) -> None:
    assert group_sizes(encode(tmp_path / "film.mp4")) == [(12, True)] * 7 + [(6, True)]
    short = encode(tmp_path / "short.mp4", keyint=1)
    assert group_sizes(short) == [(4, True)] * 22 + [(2, True)]
    long = encode(tmp_path / "long.mp4", keyint=40)
    assert group_sizes(long) == [(16, False), (16, False), (8, True)] * 2 + [(10, True)]


@pytest.mark.parametrize("x264", [{"open_gop": 1}, {"intra_refresh": 1}, {"keyint": 1000}], ids=str)
def test_a_video_without_groups_is_one_group(x264: dict[str, int], tmp_path: Path) -> None:
    found = group_sizes(encode(tmp_path / "film.mp4", **x264))
    assert [ends_group for _, ends_group in found] == [False] * 5 + [True]


def test_a_stream_whose_parameters_change_has_no_groups_after(tmp_path: Path) -> None:
    """Join two streams; the second brings parameter sets of its own in its first packet."""
    films = [encode(tmp_path / f"{refs}.h264", ref=refs, bframes=0) for refs in (2, 5)]
    joint = tmp_path / "joint.h264"
    joint.write_bytes(b"".join(film.read_bytes() for film in films))
    path = tmp_path / "film.mkv"
    with av.open(str(joint)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for n, packet in enumerate(p for p in source.demux(video=0) if p.size):
            packet.pts = packet.dts = None
            packet.pts = packet.dts = n
            packet.stream = stream
            copy.mux(packet)
    assert [count for count, ends_group in group_sizes(path) if ends_group][:-1] == [12] * 7
    assert decoded(path, 2) == decoded(path, 1)


def decoders() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("decode")]


def test_a_closed_iterator_leaves_no_thread(tmp_path: Path) -> None:
    with open_video(encode(tmp_path / "film.mp4")) as video:
        frames = reduced_frames(video)
        next(frames)
        assert decoders()
        frames.close()  # type: ignore[attr-defined]
        assert not decoders()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lambda n: 0, lambda n: 255 - n], ids=["zeros", "inverse"])
def test_a_damaged_video_fails_or_decodes_as_on_one_thread(
    damage: Callable[[int], int], tmp_path: Path
) -> None:
    whole = encode(tmp_path / "film.mp4")
    for at in range(5, 95, 10):
        data = bytearray(whole.read_bytes())
        start = len(data) * at // 100
        data[start : start + 400] = bytes(damage(n) for n in data[start : start + 400])
        (tmp_path / "hurt.mp4").write_bytes(data)
        results = []
        for threads in (1, 2):
            try:
                results.append([frame[:3] for frame in decoded(tmp_path / "hurt.mp4", threads)])
            except MediaError as error:
                results.append(str(error))
        assert results[0] == results[1]
