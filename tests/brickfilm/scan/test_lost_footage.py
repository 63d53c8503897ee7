"""Damaged, truncated and oddly timed videos: what is kept is whole, and the rest is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from brickfilm.errors import Failed
from brickfilm.media import FrameFlag, open_video
from brickfilm.records import Clip
from brickfilm.scan.lost_footage import check_clock, lost_footage
from brickfilm.stages import ClipWriter, SceneSplitter
from tests.brickfilm.conftest import Drawn
from tests.brickworld import read_barcode
from tests.brickworld.barcode import draw_barcode
from tests.kit.ask_stage import clips_of, rejected_of, video_of, written
from tests.kit.footage import remux
from tests.kit.timestamps import timestamps
from tests.kit.toy_stages import video

SPLITTER = SceneSplitter(min_frames=5)


def encode(path: Path, codec: str, **options: Any) -> Path:
    """Encode 60 numbered frames of a texture that drifts, with B-frames."""
    rng = np.random.default_rng(2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.max_b_frames = 2
        stream.codec_context.options = options
        texture = cv2.resize(rng.integers(0, 256, (9, 16, 3), np.uint8), (320, 180))
        for number in range(60):
            picture = np.ascontiguousarray(np.roll(texture, 2 * number, axis=1))
            draw_barcode(picture, number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def barcodes(path: Path) -> list[int]:
    with open_video(path) as reader:
        return [read_barcode(np.asarray(frame.image())) for frame in reader.frames()]


def numbers_in(clips: list[Clip], work: Path) -> Iterator[int]:
    """Yield the barcodes of written clips, which must be those of the scan."""
    for clip in written(ClipWriter(verify="full"), clips, work)[0]:
        assert clip.path is not None
        yield from barcodes(work / clip.path)


def damage(path: Path, number: int, *, packets: int = 1) -> None:
    """Overwrite the data of packets in place, but for their lengths."""
    with av.open(str(path)) as container:
        spans = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for pos, size in spans[number : number + packets]:
        data[pos + 8 : pos + size] = b"\xff" * (size - 8)
    path.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["film.mkv", "film.ts", "film.flv"])
def test_every_frame_is_found_in_any_container(name: str, plain: Drawn, tmp_path: Path) -> None:
    path = remux(plain.video.path, tmp_path / name)
    clips = clips_of(SPLITTER, video_of(path), tmp_path)
    assert [clip.span.start_frame for clip in clips] == [0, *plain.truth.cuts]
    assert list(numbers_in(clips, tmp_path)) == list(range(78))
    assert [float(clip.fps) for clip in clips] == pytest.approx([24] * 3, abs=0.3)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_frames_are_found_without_presentation_times(codec: str, tmp_path: Path) -> None:
    path = encode(tmp_path / "film.avi", codec)
    clips = clips_of(SPLITTER, video_of(path), tmp_path)
    assert list(numbers_in(clips, tmp_path)) == list(range(60))
    assert {clip.fps for clip in clips} == {24}
    assert clips[0].video.needs_counting


def test_damage_is_a_break_and_the_shots_around_it_are_whole(plain: Drawn, tmp_path: Path) -> None:
    path = remux(plain.video.path, tmp_path / "film.mp4")
    damage(path, 50)
    clips = clips_of(SPLITTER, video_of(path), tmp_path)
    (lost,) = [r for r in rejected_of(SPLITTER, video_of(path), tmp_path) if r.reason == "damaged"]
    kept = list(numbers_in(clips, tmp_path))
    assert set(range(40)) | set(range(70, 78)) <= set(kept)
    assert 50 not in kept
    assert kept == sorted(set(kept))
    assert "of 'film.mp4' are damaged" in str(lost)
    assert lost.record.span.start_frame >= 40
    assert lost.record.span.end_frame <= 70


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_video_that_is_cut_short_is_kept_and_said_to_be(
    suffix: str, plain: Drawn, tmp_path: Path
) -> None:
    path = remux(plain.video.path, tmp_path / f"film.{suffix}", movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = video_of(path)
    clips = clips_of(SPLITTER, source, tmp_path)
    (cut,) = [r for r in rejected_of(SPLITTER, source, tmp_path) if r.reason == "truncated"]
    kept = list(numbers_in(clips, tmp_path))
    assert kept == list(range(len(kept)))
    assert 20 < len(kept) < 78
    seconds = cut.record.end - cut.record.start
    assert seconds + len(kept) / 24 == pytest.approx(float(plain.truth.duration), abs=0.2)
    assert cut.record.video.duration == pytest.approx(float(plain.truth.duration), abs=0.2)


def test_damaged_frames_on_both_sides_of_a_jump_of_the_clock_count_their_own_time() -> None:
    flags = [FrameFlag(0)] * 5 + [FrameFlag.DAMAGED] * 6 + [FrameFlag(0)] * 5
    times = timestamps([1] * 7 + [-3] + [1] * 7, flags=flags)
    found = [left.record for left in lost_footage(video("film"), times)]
    assert [(c.span.start_frame, c.span.end_frame) for c in found if isinstance(c, Clip)] == [
        (5, 8),
        (8, 11),
    ]
    kept = times.span(0, 5), times.span(11, 16)
    ticks = sum(s.end_pts - s.start_pts for s in (*kept, *(c.span for c in found)))
    assert float(ticks * times.time_base) == pytest.approx(times.shown_seconds())


def test_a_clock_that_jumps_all_the_time_fails_the_video_once() -> None:
    with pytest.raises(Failed, match=r"'film'.*back 3 times in 12 frames.*genpts") as caught:
        check_clock(video("film"), timestamps([1, 1, -1, 1, 1, -1, 1, 1, -1, 1, 1]), 15)
    assert caught.value.reason == "clock jumps"


def test_a_clock_that_jumps_once_far_from_the_ends_is_believed() -> None:
    check_clock(video("film"), timestamps([1] * 20 + [-1] + [1] * 20), 15)
