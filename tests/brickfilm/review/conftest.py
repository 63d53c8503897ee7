"""A built folder with two clips and captions, to review."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from brickfilm import SidecarCaptioner
from tests.kit.servers.openai import CaptionServer
from tests.kit.small_build import built, two_shots


@pytest.fixture(scope="session")
def small_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with film.mp4, its captions, and the work folder `w`; only to be read."""
    place = tmp_path_factory.mktemp("small-review")
    two_shots(place / "film.mp4", size=(128, 72))
    (place / "film.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:02.000\nA wall of bricks.\n")
    built(place / "film.mp4", place / "w", SidecarCaptioner())
    return place


@pytest.fixture
def small_work(small_original: Path, tmp_path: Path) -> Path:
    """Return a copy of its work folder."""
    return Path(shutil.copytree(small_original / "w", tmp_path / "w"))


@pytest.fixture
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CaptionServer]:
    """A caption server that answers by the function `said` of the test's module."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with CaptionServer() as running:
        running.script = request.module.said
        yield running
