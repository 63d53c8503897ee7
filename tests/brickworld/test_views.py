"""Neighbouring shots have different views, so that their cut is visible."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.brickworld import SCENES, BrickFilm
from tests.brickworld.script import VIEWS
from tests.brickworld.sets import build_set


@pytest.mark.parametrize("scene", SCENES)
def test_every_set_has_as_many_views_as_a_script_counts_on(scene: str) -> None:
    assert len(build_set(scene, "classic", seed=3).views) == VIEWS


def test_neighbouring_shots_never_share_a_view() -> None:
    for seed in range(40):
        shots = BrickFilm(seed=seed, length=60).script
        assert all(0 <= (shot.view or 0) < VIEWS for shot in shots)
        assert all((a.scene, a.view) != (b.scene, b.view) for a, b in pairwise(shots))
