"""HoldAware finds cuts through held poses, flashes, fades, whip pans and noise."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from brickfilm.detectors import HoldAware
from brickfilm.detectors.holds.fades import find_fades, shots_without_transitions
from brickfilm.detectors.holds.frame_features import FrameFeatures
from brickfilm.detectors.holds.phase_correlation import phase_correlation
from brickfilm.detectors.holds.similarity import (
    CORRELATION_THRESHOLD,
    FAR_CORRELATION_THRESHOLD,
    dissimilarity,
)
from brickfilm.media import open_video
from brickfilm.scan.analyzer import FrameMetrics, analyze_frames, unpack_array
from tests.brickworld import BrickFilm, Shot, Truth
from tests.kit.ask_stage import video_of

Plane = NDArray[np.uint8]


def metrics_of(path: Path) -> FrameMetrics:
    detector = HoldAware()
    with open_video(path) as reader:
        values = unpack_array(analyze_frames(reader, video_of(path), [detector])[detector.digest])
    times = np.arange(len(values)) / 24
    return FrameMetrics(values, times, np.ones(len(values), bool))


def drawn(path: Path, *shots: Shot, **film: object) -> tuple[Truth, FrameMetrics]:
    """Render a film on threes; return its truth and the detector's metrics."""
    settings: dict[str, object] = {"seed": 6, "size": (320, 180), "holds": (3,), **film}
    truth = BrickFilm(shots=shots, **settings).render(path)  # type: ignore[arg-type]
    return truth, metrics_of(path)


def shot(frames: int, view: int, **more: object) -> Shot:
    return Shot(frames=frames, view=view, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "degradation",
    [{"speed": "fast"}, {"flicker": 0.06}, {"camera": "whip"}, {"held_noise": 3.0}],
    ids=str,
)
def test_jumps_of_pose_are_no_cuts(degradation: dict[str, object], tmp_path: Path) -> None:
    truth, metrics = drawn(tmp_path / "film.mp4", shot(36, 0), shot(33, 1), **degradation)
    assert HoldAware().cuts(metrics) == [36] == list(truth.cuts)


def test_a_flash_is_no_cut(tmp_path: Path) -> None:
    _, metrics = drawn(tmp_path / "film.mp4", shot(48, 0, flash=True), shot(30, 1))
    assert HoldAware().cuts(metrics) == [48]


@pytest.mark.parametrize("how", ["fade", "crossfade"])
def test_frames_of_a_fade_belong_to_no_shot(how: str, tmp_path: Path) -> None:
    shots = shot(48, 0), shot(60, 1, transition=how)
    truth, metrics = drawn(tmp_path / "film.mp4", *shots, camera="static")
    (_, end), (start, _) = HoldAware().shots(metrics)
    assert abs(end - min(truth.ignore)) <= 2
    assert abs(start - max(truth.ignore) - 1) <= 2


def test_a_black_film_is_one_shot() -> None:
    metrics = FrameMetrics(
        np.zeros((90, len(HoldAware.columns)), np.float32), np.arange(90) / 24, np.ones(90, bool)
    )
    assert HoldAware().shots(metrics) == [(0, 90)]


def test_noise_is_one_shot(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [FrameFeatures(rng.integers(0, 256, (180, 320), np.uint8)) for _ in range(3)]
    scores = [dissimilarity(a, b) for a, b in pairwise(frames)]
    values = np.zeros((60, len(HoldAware.columns)), np.float32)
    values[1:, 0] = np.resize(scores, 59)
    metrics = FrameMetrics(values, np.arange(60) / 24, np.ones(60, bool))
    assert HoldAware().shots(metrics) == [(0, 60)]


def picture(seed: int) -> Plane:
    """Draw a texture of soft blotches, wider than a frame."""
    import cv2

    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (30, 60), np.uint8)
    return np.asarray(cv2.resize(small, (480, 180), interpolation=cv2.INTER_CUBIC))


def test_a_shifted_picture_is_similar_and_another_is_not() -> None:
    wide, other = picture(1), picture(2)
    here, moved = FrameFeatures(wide[:, :320].copy()), FrameFeatures(wide[:, 120:440].copy())
    assert dissimilarity(here, here) < 0.02
    assert dissimilarity(here, moved) < 0.3
    assert dissimilarity(here, FrameFeatures(other[:, :320].copy())) > 0.6


def test_a_picture_in_another_light_is_similar() -> None:
    here = picture(1)[:, :320]
    darker = (here * 0.6 + 10).astype(np.uint8)
    assert dissimilarity(FrameFeatures(here.copy()), FrameFeatures(darker)) < 0.15


def test_a_hard_cut_to_black_is_no_fade() -> None:
    contrast = np.r_[np.full(40, 50.0), np.full(20, 1.0), np.full(40, 45.0)].astype(np.float32)
    assert find_fades(contrast, np.arange(100) / 24) == []


def test_a_fade_through_black_is_one_range() -> None:
    down, up = np.linspace(50, 2, 12), np.linspace(2, 40, 12)
    contrast = np.r_[np.full(40, 50.0), down, up, np.full(40, 40.0)].astype(np.float32)
    ((start, end),) = find_fades(contrast, np.arange(len(contrast)) / 24)
    assert abs(start - 40) <= 1
    assert abs(end - 64) <= 1


def test_shots_lie_between_cuts_and_transitions() -> None:
    assert shots_without_transitions([(10, 14), (28, 40)], [20], 40) == [
        (0, 10),
        (14, 20),
        (20, 28),
    ]


def encoded(path: Path, planes: Iterable[Plane]) -> FrameMetrics:
    """Encode grey pictures at 25 fps; return the detector's metrics."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for plane in planes:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(plane), format="gray")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    return metrics_of(path)


def crossfade(a: Plane, b: Plane, frames: int) -> list[Plane]:
    shares = np.arange(1, frames + 1) / (frames + 1)
    return [(a * (1 - s) + b * s).astype(np.uint8) for s in shares]


ONE, OTHER = picture(1)[:, :320], picture(2)[:, :320]


@pytest.mark.parametrize("frames", [8, 25, 50])
def test_a_crossfade_short_or_long_belongs_to_no_shot(frames: int, tmp_path: Path) -> None:
    film = [*[ONE] * 60, *crossfade(ONE, OTHER, frames), *[OTHER] * 60]
    metrics = encoded(tmp_path / "film.mp4", film)
    (_, end), (start, _) = HoldAware().shots(metrics)
    assert 60 - 0.4 * frames - 4 <= end <= 62
    assert 60 + frames - 2 <= start <= 64 + 1.4 * frames


@pytest.mark.parametrize("blended", [1, 2])
def test_a_cut_blended_by_a_rate_conversion_is_one_cut(blended: int, tmp_path: Path) -> None:
    film = [*[ONE] * 30, *crossfade(ONE, OTHER, blended), *[OTHER] * 30]
    metrics = encoded(tmp_path / "film.mp4", film)
    assert HoldAware().cuts(metrics) == [30 + blended]
    assert HoldAware().shots(metrics) == [(0, 30), (30 + blended, 60 + blended)]


@pytest.mark.parametrize("level", [0, 250])
def test_a_strobe_is_no_cut_and_hides_none(level: int, tmp_path: Path) -> None:
    film = [*[ONE] * 31, *[OTHER] * 40]
    lit = [np.full_like(p, level) if n % 4 == 3 else p for n, p in enumerate(film)]
    (cut,) = HoldAware().cuts(encoded(tmp_path / "film.mp4", lit))
    assert 30 <= cut <= 32


def before_a_wall(pose: int, chroma: tuple[int, int]) -> FrameFeatures:
    """Draw a figure, elsewhere in each pose, before a plain wall of some chroma."""
    wall = np.full((180, 320), 120, np.uint8)
    left = 40 + 160 * pose
    wall[60:, left : left + 60] = OTHER[:120, left : left + 60]
    return FrameFeatures(wall, np.full((11, 20, 2), chroma, np.uint8))


def test_a_plain_coloured_wall_makes_poses_similar() -> None:
    here = before_a_wall(0, (110, 150))
    grey = dissimilarity(FrameFeatures(here.luma), FrameFeatures(before_a_wall(1, (110, 150)).luma))
    assert dissimilarity(here, before_a_wall(1, (110, 150))) < grey - 0.15
    assert dissimilarity(here, before_a_wall(1, (150, 110))) > grey + 0.01


def test_chroma_of_grey_pictures_has_no_weight() -> None:
    grey = [FrameFeatures(before_a_wall(pose, (0, 0)).luma) for pose in (0, 1)]
    nearly = [before_a_wall(0, (128, 129)), before_a_wall(1, (129, 128))]
    assert dissimilarity(*nearly) == pytest.approx(dissimilarity(*grey), abs=0.03)


def test_a_letterbox_hides_no_cut() -> None:
    a, b = ONE.copy(), OTHER.copy()
    for boxed in (a, b):
        boxed[:30], boxed[-30:], boxed[:, :50], boxed[:, -50:] = 16, 16, 16, 16
    assert dissimilarity(FrameFeatures(a), FrameFeatures(b)) > 0.6
    assert dissimilarity(FrameFeatures(a), FrameFeatures(a.copy())) < 0.02


def test_an_entrance_that_hides_half_of_the_frame_is_no_cut() -> None:
    entered = ONE.copy()
    entered[20:, 80:240] = OTHER[20:, 80:240]
    assert dissimilarity(FrameFeatures(ONE.copy()), FrameFeatures(entered)) < HoldAware().threshold
    assert (
        dissimilarity(FrameFeatures(ONE.copy()), FrameFeatures(OTHER.copy()))
        > HoldAware().threshold + 0.1
    )


def test_an_explosion_that_hides_most_of_the_frame_is_no_cut() -> None:
    import cv2

    explosion = cv2.circle(ONE.copy(), (190, 90), 120, 255, -1)
    assert dissimilarity(FrameFeatures(ONE.copy()), FrameFeatures(explosion)) < 0.4
    assert (
        dissimilarity(FrameFeatures(OTHER.copy()), FrameFeatures(explosion))
        > HoldAware().threshold + 0.1
    )


def blurred(seed: int, sigma: float) -> FrameFeatures:
    """Blur noise and restore full contrast."""
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (180, 320), np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), sigma)
    return FrameFeatures(np.asarray(cv2.normalize(soft, None, 0, 255, cv2.NORM_MINMAX)))


def test_frames_out_of_focus_count_as_more_dissimilar() -> None:
    one, other = blurred(0, 6), blurred(1, 6)
    assert min(one.blur, other.blur) > 0.8
    assert dissimilarity(one, other) > 0.78  # 0.84; 0.69 without the blur term
    assert dissimilarity(one, FrameFeatures(one.luma.copy())) < 0.02


def test_sharp_and_plain_frames_are_not_out_of_focus() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (180, 320), np.uint8)
    assert FrameFeatures(noise).blur == 0.0
    assert FrameFeatures(np.full((180, 320), 90, np.uint8)).blur == 0.0


def blotches(seed: int) -> Plane:
    """Draw a coarser texture than `picture`, in which corners match by chance."""
    import cv2

    small = np.random.default_rng(seed).integers(0, 256, (10, 18), np.uint8)
    return np.asarray(cv2.resize(small, (320, 180), interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize("seed", [14, 116])
def test_a_chance_match_at_a_far_shift_is_ignored(seed: int) -> None:
    one, other = FrameFeatures(blotches(seed)), FrameFeatures(blotches(seed + 1))
    shift, correlation = phase_correlation(one, other)
    assert max(map(abs, shift)) > 60  # less than half of the frame is visible
    assert CORRELATION_THRESHOLD < correlation < FAR_CORRELATION_THRESHOLD
    assert dissimilarity(one, other) > HoldAware().threshold + 0.1


def test_a_whip_pan_that_leaves_two_fifths_visible_is_similar() -> None:
    here, whipped = ONE.copy(), OTHER.copy()
    whipped[:, :140] = here[:, 180:]
    assert dissimilarity(FrameFeatures(here), FrameFeatures(whipped)) < 0.1


@pytest.mark.parametrize("same", [36, 18], ids=["a table", "a subtitle"])
def test_a_cut_to_a_white_wall_is_a_cut_though_something_stays(same: int) -> None:
    dark, white = (ONE * 0.4).astype(np.uint8), np.full_like(ONE, 240)
    dark[-same:] = white[-same:] = OTHER[-same:]
    for a, b in ((dark, white), (white, dark)):
        assert dissimilarity(FrameFeatures(a), FrameFeatures(b)) > HoldAware().threshold


def test_a_global_color_cast_is_ignored() -> None:
    rng = np.random.default_rng(0)
    chroma = rng.integers(90, 170, (11, 20, 2)).astype(np.uint8)
    here, warmer = (
        FrameFeatures(ONE, chroma),
        FrameFeatures(ONE, chroma + np.array([-6, 6], np.int16).astype(np.uint8)),
    )
    assert dissimilarity(here, warmer) < 0.02
