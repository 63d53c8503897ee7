"""Films made of real ones are cut where their truth says, and held between."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from brickfilm.media import open_video
from tests.benchmarks.retimed import Place, places, write
from tests.benchmarks.shots import Film
from tests.brickfilm.conftest import Drawn, plain

__all__ = ["plain"]


def differences(path: Path) -> list[float]:
    """From each frame to the one before."""
    with open_video(path) as film:
        lumas = [frame.luma().astype(np.float32) for frame in film.frames()]
    return [0.0, *(float(np.abs(a - b).mean()) for a, b in pairwise(lumas))]


@pytest.mark.parametrize("trouble", ["plain", "several"])
def test_a_film_made_of_others_is_cut_where_its_truth_says(
    trouble: str, plain: Drawn, tmp_path: Path
) -> None:
    film = Film(plain.video.path, "plain", "ordinary", tuple(plain.truth.cuts))
    choice = [place for place in places(film) if place.part[2] == 1]
    truth = write(tmp_path / "made.mp4", choice, trouble, seed=5, drawings=60)
    moved = differences(tmp_path / "made.mp4")
    assert len(truth["cuts"]) >= 1
    assert all(moved[cut] > 8 for cut in truth["cuts"])
    assert np.mean(np.array(moved) < 2) > 0.3


def test_parts_of_one_shot_that_overlap_are_one_place() -> None:
    def seen(left: float, top: float, size: float, start: int = 0) -> Place:
        return Place(Path("a.mp4"), start, start + 40, (left, top, size))

    assert seen(0, 0, 1).is_like(seen(0.5, 0.5, 0.5))
    assert not seen(0, 0, 0.5).is_like(seen(0.5, 0, 0.5))
    assert not seen(0, 0, 1).is_like(seen(0, 0, 1, start=40))
