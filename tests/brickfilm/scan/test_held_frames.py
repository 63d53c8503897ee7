"""Unique frames are found exactly, whatever noise the codec adds to held ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brickfilm.media import open_video
from brickfilm.scan.analyzer import analyze_frames, unpack_array
from brickfilm.scan.held_frames import FrameDifference, find_unique_frames, held_frame_threshold
from tests.brickfilm.conftest import Drawn
from tests.brickworld import BrickFilm
from tests.kit.ask_stage import video_of


def unique_frames(path: Path) -> list[bool]:
    with open_video(path) as reader:
        answers = analyze_frames(reader, video_of(path), [FrameDifference()])
    return list(find_unique_frames(unpack_array(answers[FrameDifference().digest])))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"holds": (2, 3)}, {"holds": (4,), "held_noise": 3.0}, {"holds": (3,), "vfr": "drop-third"}],
    ids=str,
)
def test_held_frames_are_told_from_unique_ones(settings: dict[str, object], tmp_path: Path) -> None:
    film = BrickFilm(seed=4, length=5, size=(320, 180), camera="static", **settings)  # type: ignore[arg-type]
    truth = film.render(tmp_path / "film.mp4", crf=26)
    assert unique_frames(tmp_path / "film.mp4") == list(truth.new_drawing)


def test_on_ones_every_frame_is_unique(plain: Drawn) -> None:
    assert all(unique_frames(plain.video.path))


def test_the_threshold_lies_between_noise_and_movement() -> None:
    rng = np.random.default_rng(1)
    noise, moved = rng.uniform(2, 6, 200), rng.uniform(14, 90, 100)
    assert 6 < held_frame_threshold(np.concatenate([noise, moved]).astype(np.float32)) < 14


def test_without_two_clusters_nothing_is_held() -> None:
    rng = np.random.default_rng(1)
    assert held_frame_threshold(rng.uniform(3, 90, 400).astype(np.float32)) < 1
    assert held_frame_threshold(np.zeros(0, np.float32)) < 1
