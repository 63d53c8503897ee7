"""Films that several tests look at, drawn once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from brickfilm.records import Video
from tests.brickworld import BrickFilm, Shot, Truth
from tests.kit.ask_stage import video_of


@dataclass(frozen=True)
class Drawn:
    """A rendered film, its truth, and the film as the pipeline sees it."""

    video: Video
    truth: Truth


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Three shots on ones at 24 fps (40, 30 and 8 frames), every frame with its number."""
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    film = BrickFilm(
        seed=3,
        size=(320, 180),
        shots=(
            Shot(frames=40, hold=1, scene="street"),
            Shot(frames=30, hold=1, scene="space"),
            Shot(frames=8, hold=1, scene="forest"),
        ),
        camera="static",
        barcode=True,
    )
    truth = film.render(path)
    return Drawn(video_of(path), truth)
