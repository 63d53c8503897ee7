"""What a hard cut needs: another view."""

from __future__ import annotations

from itertools import pairwise

import pytest

from brickfilm.render import BrickFilm


@pytest.mark.parametrize("views", [2, 3, 4, 5])
def test_neighbouring_shots_never_share_a_view(views: int) -> None:
    """A set of so many views takes a shot's number modulo that."""
    for seed in range(20):
        numbers = [(shot.view or 0) % views for shot in BrickFilm(seed=seed).script]
        assert all(a != b for a, b in pairwise(numbers))
