"""Videos made from others have cuts where their truth says, and holds between."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from brickfilm.media import open_video
from tests.benchmarks.retimed import SourceShot, source_shots, write
from tests.benchmarks.shots import Film
from tests.brickfilm.conftest import Drawn, plain

__all__ = ["plain"]


def differences(path: Path) -> list[float]:
    """Return the mean difference of each frame from the one before."""
    with open_video(path) as reader:
        lumas = [frame.luma().astype(np.float32) for frame in reader.frames()]
    return [0.0, *(float(np.abs(a - b).mean()) for a, b in pairwise(lumas))]


@pytest.mark.slow
@pytest.mark.parametrize("degradation", ["plain", "several"])
def test_a_retimed_video_has_cuts_where_its_truth_says(
    degradation: str, plain: Drawn, tmp_path: Path
) -> None:
    film = Film(plain.video.path, "plain", "ordinary", tuple(plain.truth.cuts))
    sources = [shot for shot in source_shots(film) if shot.crop[2] == 1]
    truth = write(tmp_path / "made.mp4", sources, degradation, seed=5, drawings=60)
    changes = differences(tmp_path / "made.mp4")
    assert len(truth["cuts"]) >= 1
    assert all(changes[cut] > 8 for cut in truth["cuts"])
    assert np.mean(np.array(changes) < 2) > 0.3


def test_overlapping_crops_of_a_shot_are_found() -> None:
    def crop(left: float, top: float, size: float, start: int = 0) -> SourceShot:
        return SourceShot(Path("a.mp4"), start, start + 40, (left, top, size))

    assert crop(0, 0, 1).overlaps(crop(0.5, 0.5, 0.5))
    assert not crop(0, 0, 0.5).overlaps(crop(0.5, 0, 0.5))
    assert not crop(0, 0, 1).overlaps(crop(0, 0, 1, start=40))
