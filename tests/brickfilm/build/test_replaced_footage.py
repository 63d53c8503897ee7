"""Other footage in a used work folder: the build says what it would replace, and asks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from brickfilm import FolderSource, YouTubeSource
from brickfilm.build.replaced_footage import ReplacedFootage, replaced_footage
from brickfilm.cli import app
from brickfilm.engine.ledger import Ledger
from brickfilm.errors import UsageError
from tests.kit.footage import shots_bytes
from tests.kit.small_build import built, two_shots


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `films` (one video of two clips) and its work folder `w`."""
    place = tmp_path_factory.mktemp("replaced")
    (place / "films").mkdir()
    two_shots(place / "films/a.mp4", size=(64, 48))
    built(place / "films", place / "w")
    return place


@pytest.fixture
def work(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original / "w", tmp_path / "w"))


def other_film(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(shots_bytes(16, 18, width=64, height=48, block=6, step=2))
    return folder


def pay(work: Path, dollars: float) -> None:
    """Store an answer about the first clip of the folder, with its cost."""
    clip = next(path.name[:30] for path in sorted((work / "clips").iterdir()))
    with Ledger(work) as ledger, ledger.transaction():
        ledger.settle(ledger.reserve("Say", "p", "k", 1.0), {"cost": dollars})
        ledger.put("p", "k", {"text": "bricks"}, item=clip)


def build(*call: object) -> Result:
    return CliRunner().invoke(app, ["build", *map(str, call), "--captions", "none"])


def test_other_footage_is_named_with_what_was_paid_and_needs_replace(
    original: Path, work: Path, tmp_path: Path
) -> None:
    pay(work, 0.25)
    gone = replaced_footage(FolderSource(other_film(tmp_path / "b", "b.mp4")), work)
    assert gone == ReplacedFootage(["a.mp4"], 2, 2, 0.25)
    refused = build(tmp_path / "b", "--out", work)
    assert isinstance(refused.exception, UsageError)
    assert "1 video ('a.mp4'; 2 clips and 2 images, $0.2500 paid for them)" in str(
        refused.exception
    )
    assert "--replace" in str(refused.exception)


def test_footage_under_the_same_name_elsewhere_is_told_by_its_bytes(
    original: Path, work: Path, tmp_path: Path
) -> None:
    other = other_film(tmp_path / "b", "a.mp4")
    assert replaced_footage(FolderSource(other), work)
    shutil.copy(original / "films/a.mp4", other / "renamed.mp4")
    assert replaced_footage(FolderSource(other), work) is None
    (other / "a.mp4").write_bytes(b"no video")
    (other / "renamed.mp4").unlink()
    assert replaced_footage(FolderSource(other), work)


def test_more_footage_and_a_new_cut_of_a_film_replace_nothing(
    original: Path, work: Path, tmp_path: Path
) -> None:
    films = original / "films"
    assert replaced_footage(FolderSource(films), work) is None
    more = other_film(tmp_path / "more", "z.mp4")
    assert replaced_footage(FolderSource(films / "a.mp4", more / "z.mp4"), work) is None
    kept = (films / "a.mp4").read_bytes()
    try:
        shutil.copy(more / "z.mp4", films / "a.mp4")  # edited in its place
        assert replaced_footage(FolderSource(films), work) is None
    finally:
        (films / "a.mp4").write_bytes(kept)


def test_a_list_of_playlists_is_compared_by_its_entries(work: Path) -> None:
    assert replaced_footage(YouTubeSource("https://www.youtube.com/@bricks"), work)


def test_a_folder_without_a_dataset_or_with_a_damaged_ledger_asks_nothing(
    original: Path, work: Path, tmp_path: Path
) -> None:
    other = FolderSource(other_film(tmp_path / "b", "b.mp4"))
    assert replaced_footage(other, tmp_path / "new") is None
    (work / "ledger.sqlite").write_bytes(b"")
    assert replaced_footage(other, work) is None
    shutil.rmtree(work / "dataset")
    assert replaced_footage(other, work) is None


def test_long_lists_are_cut_short() -> None:
    gone = ReplacedFootage(["a", "b", "c", "d", "e"], 9, 0, 0.0)
    assert str(gone) == "5 videos ('a', 'b', 'c' and 2 more; 9 clips and 0 images)"
    assert str(replace(gone, videos=["a"])) == "1 video ('a'; 9 clips and 0 images)"


@pytest.mark.slow
def test_a_dry_run_says_it_and_replace_does_it(work: Path, tmp_path: Path) -> None:
    other = other_film(tmp_path / "b", "b.mp4")
    told = build(other, "--out", work, "--dry-run")
    assert told.exit_code == 0
    assert "has what this footage does not: 1 video ('a.mp4'" in told.output
    done = build(other, "--out", work, "--replace")
    assert done.exit_code == 0, done.output
    assert "1 video ('a.mp4'" in done.output
    assert replaced_footage(FolderSource(other), work) is None
