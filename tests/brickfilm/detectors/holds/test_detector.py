"""HoldAware finds cuts through held poses, flashes, fades, whip pans and noise."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from brickfilm.detectors import HoldAware
from brickfilm.detectors.holds.frame_features import FrameFeatures
from brickfilm.detectors.holds.similarity import dissimilarity
from brickfilm.media import open_video
from brickfilm.scan.analyzer import FrameMetrics, analyze_frames, unpack_array
from tests.brickfilm.detectors.holds.pictures import ONE, OTHER, Plane
from tests.brickworld import BrickFilm, Shot, Truth
from tests.kit.ask_stage import video_of


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


@pytest.mark.slow
def test_a_flash_is_no_cut(tmp_path: Path) -> None:
    _, metrics = drawn(tmp_path / "film.mp4", shot(48, 0, flash=True), shot(30, 1))
    assert HoldAware().cuts(metrics) == [48]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["fade", "crossfade"])
def test_frames_of_a_fade_belong_to_no_shot(how: str, tmp_path: Path) -> None:
    shots = shot(48, 0), shot(60, 1, transition=how)
    truth, metrics = drawn(tmp_path / "film.mp4", *shots, camera="static")
    (_, end), (start, _) = HoldAware().shots(metrics)
    assert abs(end - min(truth.ignore)) <= 2
    assert abs(start - max(truth.ignore) - 1) <= 2


@pytest.mark.parametrize(("score", "cuts"), [(0.59, []), (0.61, [40])])
def test_a_cut_differs_by_more_than_the_threshold(score: float, cuts: list[int]) -> None:
    values = np.zeros((90, len(HoldAware.columns)), np.float32)
    values[40, 0] = score
    values[:, 3] = 50.0  # contrast: no frame is black
    metrics = FrameMetrics(values, np.arange(90) / 24, np.ones(90, bool))
    assert HoldAware().cuts(metrics) == cuts


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


@pytest.mark.slow
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
