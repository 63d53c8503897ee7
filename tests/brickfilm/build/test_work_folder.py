"""A build touches its own work folder only, and a dry run nothing at all."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brickfilm.cli import app
from brickfilm.engine.ledger import BatchJob, Ledger
from brickfilm.errors import UsageError, WorkdirBusy
from brickfilm.sources import FolderSource
from brickfilm.stages import SceneSplitter
from tests.kit.footage import film_bytes
from tests.kit.small_build import inline_build
from tests.kit.snapshot import snapshot


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "films/a.mp4"
    path.parent.mkdir()
    path.write_bytes(film_bytes(frames=30))
    return path


def brickfilm(*words: object) -> None:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", ["report.html", "plan.json", "jobs/mine.jsonl", "dataset/a/x.tmp"])
@pytest.mark.parametrize("command", ["build", "dry run", "shard", "dry run of a shard", "demo"])
def test_a_folder_with_files_of_others_is_refused(
    film: Path, tmp_path: Path, name: str, command: str
) -> None:
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    before = snapshot(out)
    words = {
        "build": ("build", film, "--captions", "none"),
        "dry run": ("build", film, "--captions", "none", "--dry-run"),
        "shard": ("build", film, "--captions", "none", "--shard", "0/2"),
        "dry run of a shard": ("build", film, "--captions", "none", "--shard", "0/2", "--dry-run"),
        "demo": ("demo",),
    }[command]
    with pytest.raises(UsageError, match=r"holds other files \(.*name a new or an empty one"):
        brickfilm(*words, "--out", out)
    assert snapshot(out) == before


def empty(ledger: Path) -> None:
    ledger.write_bytes(b"")


def newer(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA user_version = 99")


def waiting(ledger: Path) -> None:
    with Ledger(ledger.parent) as opened, opened.transaction():
        opened.open_job(BatchJob(key="k", part="part"), {"1": "item"})


@pytest.mark.parametrize(
    ("spoil", "command", "message"),
    [
        (empty, ("build", "FILM", "--captions", "none", "--out"), "is empty, and clips beside it"),
        (empty, ("build", "FILM", "--captions", "none", "--dry-run", "--out"), "is empty, and"),
        (empty, ("status",), "is empty, and clips"),
        (empty, ("review", "--no-browser"), "is empty, and clips"),
        (newer, ("build", "FILM", "--captions", "none", "--dry-run", "--out"), "out/.* newer"),
        (newer, ("build", "FILM", "--captions", "none", "--shard", "0/2", "--out"), "newer brick"),
        (newer, ("status",), "newer brickfilm .schema 99, this one has"),
        (waiting, ("build", "FILM", "--captions", "none", "--shard", "0/2", "--out"), "waits for"),
    ],
)
def test_a_ledger_that_cannot_be_used_stays_as_it_is(
    film: Path, tmp_path: Path, spoil: Callable[[Path], None], command: Sequence[str], message: str
) -> None:
    out = tmp_path / "out"
    with Ledger(out):
        pass
    (out / "clips").mkdir()
    spoil(out / "ledger.sqlite")
    before = set(snapshot(out))
    with pytest.raises(UsageError, match=message):
        brickfilm(*(film if word == "FILM" else word for word in command), out)
    (out / "shards/0-of-2.lock").unlink(missing_ok=True)
    if (out / "shards").exists():
        (out / "shards").rmdir()  # no shard is left, which would make this a build of shards
    assert set(snapshot(out)) == before
    assert spoil is not empty or not (out / "ledger.sqlite").stat().st_size


def test_footage_below_the_work_folder_and_copied_files_are_no_files_of_others(
    film: Path, tmp_path: Path
) -> None:
    (tmp_path / "tombstones.jsonl").touch()
    inline_build(FolderSource(film.parent), SceneSplitter(), workdir=tmp_path)
    own = tmp_path / "notes.txt"
    own.write_text("mine")
    (tmp_path / "films/data.99999999.tmp").touch()
    inline_build(FolderSource(film.parent), SceneSplitter(), workdir=tmp_path)  # marked by now
    assert own.read_text() == "mine"
    assert (tmp_path / "films/data.99999999.tmp").exists()


@pytest.mark.slow
def test_a_dry_run_writes_and_deletes_nothing(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("build", film, "--captions", "none", "--out", out)
    brickfilm(*words, "--dry-run")
    assert not out.exists()
    brickfilm(*words)
    (out / "clips/.x.mp4.99999999.tmp").touch()  # of a killed process: the next build deletes it
    os.utime(film)
    before = snapshot(tmp_path)
    brickfilm(*words, "--dry-run")
    assert snapshot(tmp_path) == before
    brickfilm(*words)
    assert not (out / "clips/.x.mp4.99999999.tmp").exists()


def test_a_dry_run_waits_for_no_build(film: Path, tmp_path: Path) -> None:
    with Ledger(tmp_path / "out"), pytest.raises(WorkdirBusy, match="is being built by process"):
        brickfilm("build", film, "--captions", "none", "--out", tmp_path / "out", "--dry-run")
