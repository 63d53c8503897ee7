"""A small build that several tests only read."""

from __future__ import annotations

from pathlib import Path

import pytest

from brickfilm import Keep
from tests.kit.small_build import built, two_shots


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a work folder with a clip of 24 frames, and a rejected one of 20 frames."""
    place = tmp_path_factory.mktemp("small")
    film = two_shots(place / "film.mp4", size=(128, 72))
    built(film, place / "w", Keep("num_frames", at_least=21))
    return place / "w"
