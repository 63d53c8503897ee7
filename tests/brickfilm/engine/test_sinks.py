"""Clips and stills, written in one pass, are exactly the frames that were planned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from brickfilm.engine.sinks import FusedSinks, split_by_frames
from brickfilm.engine.stage import WorkItem
from brickfilm.errors import ItemError, MediaError
from brickfilm.media import open_video, sha256_of
from brickfilm.records import Clip, Span
from brickfilm.stages import ClipWriter, FrameSampler, SceneSplitter
from tests.brickfilm.conftest import Drawn
from tests.brickworld import read_barcode
from tests.kit.ask_stage import clips_of, written

BOTH = FusedSinks((ClipWriter(), FrameSampler()))


def numbers(path: Path) -> list[int]:
    """The barcodes of a clip's frames."""
    with open_video(path) as reader:
        return [read_barcode(np.asarray(frame.image())) for frame in reader.frames()]


@pytest.fixture(scope="session")
def clips(plain: Drawn, tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    return clips_of(SceneSplitter(min_frames=5), plain.video, tmp_path_factory.mktemp("scan"))


def test_clips_hold_their_planned_frames_and_no_other(clips: list[Clip], tmp_path: Path) -> None:
    done, _ = written(BOTH, clips, tmp_path)
    for clip in done:
        assert clip.path is not None
        assert numbers(tmp_path / clip.path) == list(
            range(clip.span.start_frame, clip.span.end_frame)
        )
        assert clip.sha256 == sha256_of(tmp_path / clip.path)
        assert (clip.width, clip.height) == (320, 180)


def test_stills_are_the_frames_of_their_numbers(clips: list[Clip], tmp_path: Path) -> None:
    done, images = written(BOTH, clips, tmp_path)
    for clip, image in zip(done, images, strict=True):
        start, n = clip.span.start_frame, clip.span.frames
        assert [s.frame for s in clip.stills] == [
            start + round(p * (n - 1)) for p in (0.2, 0.5, 0.8)
        ]
        assert image.frame == start + (n - 1) // 2
        for still in (*clip.stills, image):
            with Picture.open(tmp_path / still.path) as picture:
                assert read_barcode(np.asarray(picture)) == still.frame


@pytest.mark.parametrize("frames", [[7], [4, 4], [30, 3, 3, 3], [2, 2, 2, 40], [5] * 9], ids=str)
def test_clips_are_shared_out_in_the_films_order(frames: list[int], clips: list[Clip]) -> None:
    starts = [sum(frames[:n]) for n in range(len(frames))]
    spans = [
        Span(start_frame=s, end_frame=s + n, start_pts=s, end_pts=s + n)
        for s, n in zip(starts, frames, strict=True)
    ]
    work_items = [WorkItem(replace(clips[0], span=span), frozenset()) for span in reversed(spans)]
    segments = split_by_frames(work_items)
    assert [work_items[n].item.span for segment in segments for n in segment] == spans
    assert len(segments) == min(2, len(frames))
    shares = [sum(work_items[n].item.span.frames for n in segment) for segment in segments]
    assert max(shares) - min(shares) <= max(frames)


def test_artefacts_are_named_by_place_and_settings(clips: list[Clip], tmp_path: Path) -> None:
    (clip,), (image,) = written(BOTH, clips[:1], tmp_path)
    writer, sampler = BOTH.sinks
    assert str(clip.path) == f"clips/{clip.id}-{writer.digest[:8]}.mp4"
    assert str(image.path) == f"stills/{clip.id}-f{image.frame:06d}-{sampler.digest[:8]}.jpg"
    assert not list(tmp_path.rglob("*.tmp"))


def test_other_encoder_settings_keep_the_stills(clips: list[Clip], tmp_path: Path) -> None:
    _, images = written(BOTH, clips[:1], tmp_path)
    _, again = written(FusedSinks((ClipWriter(crf=30), FrameSampler())), clips[:1], tmp_path)
    assert [i.path for i in images] == [i.path for i in again]
    assert len(list((tmp_path / "clips").iterdir())) == 2


def test_the_same_settings_give_the_same_bytes(clips: list[Clip], tmp_path: Path) -> None:
    first, _ = written(BOTH, clips, tmp_path / "a")
    second, _ = written(BOTH, clips, tmp_path / "b")
    assert [c.sha256 for c in first] == [c.sha256 for c in second]


def test_hashes_tell_first_middle_and_last_frame(clips: list[Clip], tmp_path: Path) -> None:
    (one, two, _), _ = written(FrameSampler(), clips, tmp_path)
    assert all(len(h) == 16 for h in one.frame_hashes)
    assert len(one.frame_hashes) == 3
    assert not set(one.frame_hashes) & set(two.frame_hashes)


def test_without_images_none_come(clips: list[Clip], tmp_path: Path) -> None:
    done, images = written(FrameSampler(images=False, at=(0.5,)), clips, tmp_path)
    assert len(done) == 3
    assert images == []
    assert len(list((tmp_path / "stills").iterdir())) == 3


def test_a_call_does_only_the_sinks_that_lack_an_answer(clips: list[Clip], tmp_path: Path) -> None:
    _, sampler = BOTH.sinks
    work_items = [WorkItem(clips[0], frozenset([sampler.digest]))]
    with BOTH.open(tmp_path) as compute:
        (result,) = compute(work_items)
    assert isinstance(result, dict)
    assert set(result) == {sampler.digest}
    assert not (tmp_path / "clips").exists()


def test_a_lower_film_is_never_scaled_up(clips: list[Clip], tmp_path: Path) -> None:
    (clip,), _ = written(ClipWriter(max_height=720), clips[:1], tmp_path)
    assert (clip.width, clip.height) == (320, 180)


def test_a_taller_film_is_scaled_down(clips: list[Clip], tmp_path: Path) -> None:
    (clip,), _ = written(ClipWriter(max_height=90), clips[:1], tmp_path)
    assert (clip.width, clip.height) == (160, 90)


def test_stills_are_keyframes_of_the_clip(clips: list[Clip], tmp_path: Path) -> None:
    (clip,), _ = written(BOTH, clips[:1], tmp_path)
    with open_video(tmp_path / clip.path) as reader:  # type: ignore[operator]
        keys = [frame.number for frame in reader.frames() if frame.raw.key_frame]
    assert {still.frame for still in clip.stills} <= set(keys)


def test_a_film_that_changed_under_the_plan_is_refused(clips: list[Clip], tmp_path: Path) -> None:
    clip = clips[0]
    moved = replace(clip, span=replace(clip.span, start_pts=clip.span.start_pts + 1))
    with pytest.raises(MediaError, match="no longer decodes"):
        written(ClipWriter(), [moved], tmp_path)
    assert not list((tmp_path / "clips").iterdir())


def test_one_bad_clip_does_not_stop_the_others(clips: list[Clip], tmp_path: Path) -> None:
    good, bad = clips[1], replace(clips[0], span=replace(clips[0].span, end_frame=39))
    digests = frozenset(part.digest for part in BOTH.parts())
    with BOTH.open(tmp_path) as compute:
        results = compute([WorkItem(good, digests), WorkItem(bad, digests)])
    assert isinstance(results[0], dict)
    assert isinstance(results[1], ItemError)
