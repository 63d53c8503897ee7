"""Shots: where they begin, how long they may be, what is left out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from brickfilm.detectors.found_shots import CUT_SCORES
from brickfilm.engine.stage import WorkItem
from brickfilm.errors import MediaError, Rejected, UsageError
from brickfilm.records import Clip
from brickfilm.scan.wipes import WipeAnalyzer
from brickfilm.schema.training_lengths import TrainingLengths
from brickfilm.stages import SceneSplitter
from tests.brickfilm.conftest import Drawn
from tests.brickworld import BrickFilm, Shot
from tests.kit.ask_stage import ask, clips_of, rejected_of, video_of


def spans(clips: list[Clip]) -> list[tuple[int, int]]:
    return [(clip.span.start_frame, clip.span.end_frame) for clip in clips]


def test_shots_begin_at_the_cuts(plain: Drawn, tmp_path: Path) -> None:
    clips = clips_of(SceneSplitter(min_frames=5), plain.video, tmp_path)
    assert spans(clips) == [(0, 40), (40, 70), (70, 78)]
    assert plain.truth.cuts == (40, 70)


def test_clips_have_timestamps_and_videos_their_frame_count(plain: Drawn, tmp_path: Path) -> None:
    first, second, last = clips_of(SceneSplitter(min_frames=5), plain.video, tmp_path)
    assert second.span.start_pts == plain.truth.pts[40] == first.span.end_pts
    assert last.span.end_pts * plain.truth.time_base == plain.truth.duration
    assert last.fps == plain.truth.fps
    assert last.video.frames == 78


@pytest.mark.slow
def test_clips_have_their_unique_frames(tmp_path: Path) -> None:
    shots = Shot(frames=30, hold=3, view=0), Shot(frames=20, hold=2, view=1)
    BrickFilm(seed=4, size=(320, 180), shots=shots, camera="static").render(tmp_path / "a.mp4")
    first, second = clips_of(SceneSplitter(), video_of(tmp_path / "a.mp4"), tmp_path)
    assert first.unique_frames == tuple(range(0, 30, 3))
    assert second.unique_frames == tuple(range(0, 20, 2))


@pytest.mark.parametrize("size", [(320, 8), (14, 14)], ids=str)
def test_a_video_that_is_too_small_is_a_media_error(size: tuple[int, int], tmp_path: Path) -> None:
    path = written(tmp_path / "small.mkv", size)
    splitter = SceneSplitter()
    with splitter.open(tmp_path) as scan:
        work_items = [
            WorkItem(item=video_of(path), parts=frozenset(a.digest for a in splitter.analyzers))
        ]
        (result,) = scan(work_items)
    assert isinstance(result, MediaError)
    assert f"{size[0]} x {size[1]} pixels: too few" in str(result)


@pytest.mark.parametrize("size", [(1280, 200), (320, 24), (24, 320)], ids=str)
def test_long_and_thin_videos_are_scanned_with_all_measures(
    size: tuple[int, int], tmp_path: Path
) -> None:
    (clip,) = clips_of(SceneSplitter(), video_of(written(tmp_path / "thin.mkv", size)), tmp_path)
    assert clip.span.frames == 20


def written(path: Path, size: tuple[int, int]) -> Path:
    """Encode twenty frames of a texture that moves a pixel a frame, losslessly."""
    import av

    rng = np.random.default_rng(3)
    wide = cv2.resize(rng.integers(0, 256, (8, 20), np.uint8), (size[0] + 20, size[1]))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height = size
        stream.pix_fmt = "gray"
        for number in range(20):
            frame = np.ascontiguousarray(wide[:, number : number + size[0]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return path


def test_a_short_shot_is_rejected(plain: Drawn, tmp_path: Path) -> None:
    splitter = SceneSplitter(min_frames=15)
    (short,) = rejected_of(splitter, plain.video, tmp_path)
    assert short.reason == "too short"
    assert "70-78" in str(short)
    assert short.record.span.frames == 8
    assert short.record.end - short.record.start == pytest.approx(8 / 24)


def test_a_long_shot_is_split_into_equal_parts(plain: Drawn, tmp_path: Path) -> None:
    clips = clips_of(SceneSplitter(min_frames=5, max_frames=16), plain.video, tmp_path)
    assert spans(clips)[:3] == [(0, 13), (13, 26), (26, 40)]


def test_other_lengths_decode_nothing_again(plain: Drawn) -> None:
    one, other = SceneSplitter(), SceneSplitter(min_frames=30, max_frames=60)
    assert [p.digest for p in one.parts()] == [p.digest for p in other.parts()]


def test_another_detector_keeps_the_measures_answers(plain: Drawn) -> None:
    adaptive, content = SceneSplitter(detector="adaptive"), SceneSplitter(detector="content")
    motion = adaptive.measures[0]
    assert motion in adaptive.parts()
    assert motion in content.parts()


def test_a_call_runs_only_the_missing_analyzers(plain: Drawn, tmp_path: Path) -> None:
    splitter = SceneSplitter()
    missing = splitter.parts()[-1].digest
    with splitter.open(tmp_path) as scan:
        (answers,) = scan([WorkItem(plain.video, frozenset([missing]))])
    assert isinstance(answers, dict)
    assert set(answers) == {missing}


def test_every_clip_has_every_score(plain: Drawn, tmp_path: Path) -> None:
    splitter = SceneSplitter()
    for clip in clips_of(splitter, plain.video, tmp_path):
        assert tuple(clip.scores) == splitter.provides


def test_clips_say_how_they_begin_and_end(plain: Drawn, tmp_path: Path) -> None:
    clips = clips_of(SceneSplitter(min_frames=5, max_frames=20), plain.video, tmp_path)
    kinds = ["video split", "split cut", "cut split", "split cut", "cut video"]
    assert [" ".join(clip.transitions) for clip in clips] == kinds
    assert min(clip.scores["cut_start"] for clip in clips) > 0.9
    assert {clip.scores["flashes"] for clip in clips} == {0.0}


def test_a_folder_of_old_has_no_further_scores_or_parts(plain: Drawn, tmp_path: Path) -> None:
    old = SceneSplitter(min_frames=5, describe_cuts=False)
    assert set(SceneSplitter().provides) - set(old.provides) == {*CUT_SCORES, "flashes"}
    assert {type(part) for part in set(SceneSplitter().parts()) - set(old.parts())} == {
        WipeAnalyzer
    }
    assert old.digest == SceneSplitter(min_frames=5).digest
    assert not any(clip.transitions for clip in clips_of(old, plain.video, tmp_path))


@pytest.mark.slow
def test_a_wipe_and_a_dissolve_are_rejected_by_name(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    shots = (Shot(frames=40, view=0), Shot(frames=50, view=1, transition="wipe"))
    dissolved = Shot(frames=50, view=2, transition="crossfade")
    film = BrickFilm(seed=6, size=(320, 180), shots=(*shots, dissolved), camera="static")
    truth = film.render(path)
    out = ask(SceneSplitter(), [video_of(path)], tmp_path)
    assert [r.reason for r in out if isinstance(r, Rejected)] == ["wipe", "dissolve"]
    clips = [clip for clip in out if isinstance(clip, Clip)]
    assert [clip.transitions for clip in clips] == [
        ("video", "wipe"),
        ("wipe", "dissolve"),
        ("dissolve", "video"),
    ]
    edges = [edge for clip in clips for edge in spans([clip])[0]][1:-1]
    starts = [n for n in truth.ignore if n - 1 not in truth.ignore]
    ends = [n + 1 for n in truth.ignore if n + 1 not in truth.ignore]
    assert np.abs(np.subtract(edges, sorted(starts + ends))).max() <= 3


def test_impossible_lengths_are_refused() -> None:
    with pytest.raises(UsageError, match="min_frames=300"):
        SceneSplitter(min_frames=300)


def test_an_unknown_detector_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="holds, layout, joint, transnetv2, adaptive"):
        SceneSplitter(detector="magic")  # type: ignore[arg-type]


def test_the_same_video_gives_the_same_clips(plain: Drawn, tmp_path: Path) -> None:
    splitter = SceneSplitter()
    assert ask(splitter, [plain.video], tmp_path)[:2] == ask(splitter, [plain.video], tmp_path)[:2]


@pytest.mark.slow
def test_frames_of_a_fade_are_rejected(tmp_path: Path) -> None:
    shots = (Shot(frames=40, hold=2, view=0), Shot(frames=40, hold=2, view=1, transition="fade"))
    film = BrickFilm(seed=6, size=(320, 180), shots=shots, camera="static")
    film.render(tmp_path / "film.mp4")
    (fade,) = rejected_of(SceneSplitter(), video_of(tmp_path / "film.mp4"), tmp_path)
    assert fade.reason == "fade"
    assert fade.record.span.frames < 40


def test_a_scan_runs_opencv_on_one_thread_and_restores_the_setting(tmp_path: Path) -> None:
    before = cv2.getNumThreads()
    with SceneSplitter().open(tmp_path):
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before


def test_a_rest_that_a_training_leaves_is_rejected_if_it_is_too_short(
    plain: Drawn, tmp_path: Path
) -> None:
    lengths = TrainingLengths((33,), name="mine")
    splitter = SceneSplitter(min_frames=5, max_frames=36, for_training=lengths)
    assert spans(clips_of(splitter, plain.video, tmp_path)) == [(0, 36), (40, 70), (70, 78)]
    (rest,) = rejected_of(splitter, plain.video, tmp_path)
    assert "frames 36-40" in str(rest)


def test_parts_without_a_training_are_as_they_were(plain: Drawn, tmp_path: Path) -> None:
    """A part may be shorter than min_frames: only shots are measured by it."""
    clips = clips_of(SceneSplitter(min_frames=30, max_frames=35), plain.video, tmp_path)
    assert spans(clips) == [(0, 20), (20, 40), (40, 70)]


def test_a_training_decodes_nothing_again() -> None:
    parts = [part.digest for part in SceneSplitter().parts()]
    assert [part.digest for part in SceneSplitter(for_training="wan2.1").parts()] == parts


def test_a_shot_of_exactly_min_frames_is_kept(plain: Drawn, tmp_path: Path) -> None:
    lengths = [c.span.frames for c in clips_of(SceneSplitter(min_frames=5), plain.video, tmp_path)]
    at_limit = SceneSplitter(min_frames=min(lengths))
    assert [c.span.frames for c in clips_of(at_limit, plain.video, tmp_path)] == lengths
