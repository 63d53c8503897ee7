"""Temporary files of killed processes are deleted by the next process that locks the folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from brickfilm.engine.ledger import Ledger


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"pixels")
    return path


def test_drafts_of_the_dead_are_swept_and_nothing_else(tmp_path: Path) -> None:
    dead, alive = dead_pid(), os.getpid()
    gone = [
        put(tmp_path / f"clips/a.mp4.{dead}.tmp"),
        put(tmp_path / f".dataset.{dead}.tmp/clips/train-00000.tmp"),
        put(tmp_path / f"dataset/clips/.train-00000-of-00001.parquet.{dead}.tmp"),  # of a removal
        put(tmp_path / "jobs/0123.jsonl"),
        put(tmp_path / f"dataset/clips/.train-00000-of-00001.parquet.{dead}.tmp"),
        put(tmp_path / "dataset/images/train-00000-of-00001.parquet.tmp"),  # of an earlier version
    ]
    kept = [
        put(tmp_path / f"clips/b.mp4.{alive}.tmp"),
        put(tmp_path / "clips/c.mp4"),
        put(tmp_path / "mine.tmp"),
        put(tmp_path / f"mine.{dead}.tmp"),
        put(tmp_path / "films" / "notes.jsonl"),
    ]
    with Ledger(tmp_path):
        assert not any(path.exists() for path in gone)
        assert all(path.exists() for path in kept)
    assert not (tmp_path / f".dataset.{dead}.tmp").exists()


def test_a_link_is_removed_and_not_what_it_names(tmp_path: Path) -> None:
    elsewhere = put(tmp_path / "elsewhere" / "film.mp4")
    work = tmp_path / "work"
    work.mkdir()
    (work / f".a.{dead_pid()}.tmp").symlink_to(elsewhere.parent)
    with Ledger(work):
        assert list(work.glob(".*.tmp")) == []
    assert elsewhere.exists()


def test_a_folder_whose_replacement_was_killed_is_recovered(tmp_path: Path) -> None:
    put(tmp_path / ".dataset.replaced" / "clips")
    put(tmp_path / ".other.replaced" / "clips")
    put(tmp_path / "other" / "clips")
    with Ledger(tmp_path):
        assert (tmp_path / "dataset" / "clips").is_file()
        assert not (tmp_path / ".other.replaced").exists()
