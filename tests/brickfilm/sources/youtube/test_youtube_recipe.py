"""The published recipe, unchanged, pointed at a local site and a local caption service."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest

from brickfilm.cli import main
from tests.kit import ROOT
from tests.kit.footage import shots_bytes
from tests.kit.servers.openai import CaptionServer, described
from tests.kit.servers.videos import VideoSite, video_site

RECIPE = ROOT / "recipes" / "text2bricks"


@pytest.fixture
def site() -> Iterator[VideoSite]:
    with video_site() as site:
        site.add("bricks", shots_bytes(30, 40, width=1280, height=720))
        site.add("short", shots_bytes(12, width=1280, height=720))
        site.add("square", shots_bytes(20, width=720, height=720))
        yield site


@pytest.fixture
def recipe(tmp_path: Path, site: VideoSite) -> Path:
    """Copy the recipe and fill in its list."""
    folder = tmp_path / "text2bricks"
    shutil.copytree(RECIPE, folder)
    (folder / "channels.txt").write_text(f"{site.at('/list')}  # every film of it\n")
    return folder / "dataset.py"


def brickfilm(monkeypatch: pytest.MonkeyPatch, *words: object) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["brickfilm", *map(str, words)])
    with pytest.raises(SystemExit) as leave:
        main()
    return leave.value.code


def test_unfilled_it_says_what_to_fill_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    recipe = RECIPE / "dataset.py"
    assert brickfilm(monkeypatch, "build", recipe, "--out", tmp_path) == 2
    assert "has no entries: give a channel" in capsys.readouterr().err


def test_dry_it_lists_and_fetches_nothing(
    tmp_path: Path,
    recipe: Path,
    site: VideoSite,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert brickfilm(monkeypatch, "build", recipe, "--out", tmp_path / "w", "--dry-run") == 0
    output = capsys.readouterr().out
    assert "3 videos to download: about 0.2 h of footage, 225.0 MB, 0.8 min" in output
    assert site.file("bricks") in output
    assert site.requests_for("bricks") == []


def test_locked_without_a_lock_file_says_where_it_looked(
    tmp_path: Path,
    recipe: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert brickfilm(monkeypatch, "build", recipe, "--out", tmp_path / "w", "--locked") == 2
    assert "sources.lock.json' to rebuild from" in capsys.readouterr().err
    footage = ("build", tmp_path, "--captions", "none", "--out", tmp_path / "w")
    assert brickfilm(monkeypatch, *footage, "--locked") == 2
    assert "FolderSource writes no lock file" in capsys.readouterr().err


@pytest.mark.slow
def test_for_real_it_makes_the_dataset(
    tmp_path: Path, recipe: Path, site: VideoSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 0.0)  # no delays
    with CaptionServer(script=described) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        build = ("build", recipe, "--out", tmp_path / "w")
        assert brickfilm(monkeypatch, *build) == 0
        site.hits.clear()
        assert brickfilm(monkeypatch, *build, "--locked") == 0
        assert site.hits == []  # every video is on disk
    clips = datasets.load_dataset(str(tmp_path / "w" / "dataset"), "clips", split="train")
    images = datasets.load_dataset(str(tmp_path / "w" / "dataset"), "images", split="train")
    assert sorted(clips["num_frames"]) == [30, 40]
    assert set(clips["source_url"]) == {site.file("bricks")}  # one is too short, one square
    assert set(clips["height"]) == {720}
    assert all("red car" in caption for caption in clips["caption"])
    assert len(images) == 2
    assert (tmp_path / "w" / "sources.lock.json").is_file()
