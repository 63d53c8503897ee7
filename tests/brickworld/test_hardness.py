"""Rendered held poses mislead common shot detectors, so that they can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from scenedetect import AdaptiveDetector, ContentDetector, SceneManager, open_video
from scenedetect.detector import SceneDetector

from tests.brickworld import BrickFilm


def found(path: Path, detector: SceneDetector) -> list[int]:
    manager = SceneManager()
    manager.add_detector(detector)
    manager.detect_scenes(open_video(str(path)))
    return [start.frame_num for start, _ in manager.get_scene_list()][1:]


def f1(pairs: Iterable[tuple[list[int], tuple[int, ...]]]) -> float:
    """Pooled, at a tolerance of one frame."""
    hits = said = real = 0
    for cuts, truth in pairs:
        hits += sum(any(abs(cut - true) <= 1 for cut in cuts) for true in truth)
        said, real = said + len(cuts), real + len(truth)
    return 2 * hits / (said + real)


@pytest.mark.soak
def test_large_motion_on_threes_fools_both_detectors(tmp_path: Path) -> None:
    adaptive, content = [], []
    for seed in range(4):
        path = tmp_path / f"{seed}.mp4"
        film = BrickFilm(seed=seed, size=(480, 270), length=40, holds=(3,), speed="fast")
        cuts = film.render(path).cuts
        adaptive.append((found(path, AdaptiveDetector(min_scene_len=15)), cuts))
        content.append((found(path, ContentDetector()), cuts))
    assert f1(adaptive) <= 0.30
    assert f1(content) <= 0.60
