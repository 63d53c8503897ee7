"""Stored answers and money, the lock, and damaged or full folders."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from brickfilm.engine.ledger import ItemResult, Ledger, ledger_frame, read_edits
from brickfilm.engine.ledger.file import FILENAME, connect, transaction
from brickfilm.errors import UsageError, WorkdirBusy, WorkdirUnusable


def test_answers_are_read_together_without_those_that_are_no_use(tmp_path: Path) -> None:
    (tmp_path / "there.jpg").touch()
    with Ledger(tmp_path) as ledger:
        with ledger.transaction():
            for name in ("there.jpg", "gone.jpg", "../out.jpg", "/etc/hostname"):
                ledger.put("part", name, {"files": [{"path": name, "sha256": ""}]})
            ledger.put("part", "plain", {"text": "a wall"})
            ledger.put("other", "there.jpg", {})
        names = ["plain", "there.jpg", "gone.jpg", "../out.jpg", "/etc/hostname", "unknown"]
        assert list(ledger.get_many("part", names)) == ["plain", "there.jpg"]
        assert ledger.get_many("part", []) == {}
        many = [str(n) for n in range(40_000)]  # SQLite takes 32,766 values at most
        assert list(ledger.get_many("part", [*many, *["plain"] * 40_000])) == ["plain"]


def test_an_answer_outlives_the_process(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger, ledger.transaction():
        ledger.put("part", "key", {"text": "ein Dach, 屋根"})
    with Ledger(tmp_path) as ledger:
        assert ledger.get("part", "key") == {"text": "ein Dach, 屋根"}
        assert ledger.get("part", "other") is None


def test_an_answer_whose_file_is_gone_is_none(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        (tmp_path / "a.mp4").write_bytes(b"clip")
        with ledger.transaction():
            ledger.put("part", "key", {"files": [{"path": "a.mp4", "sha256": "00"}]})
        assert ledger.get("part", "key") is not None
        (tmp_path / "a.mp4").unlink()
        assert ledger.get("part", "key") is None


def test_a_broken_transaction_leaves_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        with pytest.raises(ZeroDivisionError), ledger.transaction():
            ledger.put("part", "key", {})
            _ = 1 / 0
        assert ledger.get("part", "key") is None


def test_a_second_build_says_who_holds_the_folder(tmp_path: Path) -> None:
    with (
        Ledger(tmp_path),
        pytest.raises(WorkdirBusy, match=f"process {os.getpid()}.*wait for it"),
    ):
        Ledger(tmp_path)


def _hold_and_die(work: Path) -> None:
    Ledger(work)
    os._exit(9)


def test_a_dead_build_holds_nothing(tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_hold_and_die, args=(tmp_path,))
    child.start()
    child.join()
    Ledger(tmp_path).__exit__(None, None, None)


def test_money_counts_what_may_have_been_spent(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        with ledger.transaction():
            ledger.reserve("Say", "part", "a", 0.5)
            answered = ledger.reserve("Say", "part", "b", 0.5)
            ledger.settle(answered, {"cost": 0.1})
        assert ledger.spent("Say") == pytest.approx(0.6)
        assert ledger.spent("Other") == 0


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkdirUnusable, match=r"file.*name another"):
        Ledger(tmp_path / "file" / "work")


def test_a_ledger_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / FILENAME).write_text("not a database, but long enough to be read as one" * 9)
    with pytest.raises(WorkdirUnusable, match=r"ledger\.sqlite"):
        Ledger(tmp_path)


def test_a_folder_without_a_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--out"):
        ledger_frame(tmp_path)


def test_looking_at_what_is_no_ledger_says_so(tmp_path: Path) -> None:
    (tmp_path / FILENAME).write_text("no database at all, but long enough to be read as one" * 20)
    with pytest.raises(UsageError, match="cannot be read as a ledger"):
        ledger_frame(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_can_be_looked_at(tmp_path: Path) -> None:
    with Ledger(tmp_path):
        pass
    tmp_path.chmod(0o555)
    assert len(ledger_frame(tmp_path)) == 0
    tmp_path.chmod(0o755)


def test_a_caption_is_forgotten_where_it_is_the_whole_text(tmp_path: Path) -> None:
    captions = ("A man", "A man rides a horse", 'She said "A man"', "Äh \\ A man", "text")
    with Ledger(tmp_path) as ledger:
        with ledger.transaction():
            for text in captions:
                ledger.put("part", text, {"text": text, "model": "toy"})
            ledger.put("scan", "film", {"rows": "A man/text"})
        assert ledger.delete(lambda name: False, (), ["A man"]) == 1
        assert ledger.delete(lambda name: False, (), ["text"]) == 1
        assert ledger.delete(lambda name: False, (), [captions[2], captions[3]]) == 2
        assert ledger.get("part", "A man rides a horse")
        assert ledger.get("scan", "film")


def test_a_full_disk_is_an_error_that_names_the_remedy(tmp_path: Path) -> None:
    db = connect(tmp_path / FILENAME)
    db.execute("PRAGMA max_page_count = 30")
    with pytest.raises(WorkdirUnusable, match="full: make room"), transaction(db, tmp_path):
        db.execute("INSERT INTO films (id, facts) VALUES ('id', ?)", ("x" * 1_000_000,))
    assert db.execute("SELECT COUNT(*) FROM films").fetchone() == (0,)
    db.close()


def test_a_ledger_of_before_answers_named_their_items_is_taken_on(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILENAME) as old:
        old.execute(
            "CREATE TABLE answers (part TEXT, key TEXT, answer TEXT, seconds REAL, at REAL, "
            "PRIMARY KEY (part, key)) WITHOUT ROWID"
        )
        old.execute(
            "CREATE TABLE job_items (part TEXT, key TEXT, job TEXT, PRIMARY KEY (part, key))"
        )
        old.execute("INSERT INTO answers VALUES ('part', 'old', '{}', 0, 0)")
        old.execute("PRAGMA user_version = 1")
    old.close()
    for _ in range(2):
        with Ledger(tmp_path) as ledger, ledger.transaction():
            ledger.put("part", "new", {"text": "a wall"}, item="clip")
            assert ledger.get("part", "old") == {}
    with Ledger(tmp_path) as ledger:
        assert ledger.delete("clip".__eq__, (), ()) == 1
        assert ledger.get("part", "old") == {}
        assert ledger.get("part", "new") is None


@pytest.mark.parametrize("path", ["../other", "clips/../../other", "{absolute}"])
def test_an_answer_with_a_file_outside_the_folder_is_none(tmp_path: Path, path: str) -> None:
    other = tmp_path / "other"
    other.write_text("somebody's")
    file = {"path": path.format(absolute=other), "sha256": "0"}
    with Ledger(tmp_path / "work") as ledger:
        (tmp_path / "work" / "clips").mkdir()
        for answer in ({"files": [file]}, {"files": [], "film": file}, {"stills": [0, file]}):
            with ledger.transaction():
                ledger.put("part", "key", answer)
            assert ledger.get("part", "key") is None


def damaged_ledger(work: Path, statement: str) -> None:
    """Make a ledger with a request and an outcome, and change it by SQL."""
    with Ledger(work) as ledger, ledger.transaction():
        ledger.settle(ledger.reserve("Captioner", "part", "key", 2.0), {"cost": 2.0})
        names = {"stage": "Probe", "kind": "listing", "item": "a", "source_id": "a"}
        ledger.save_results([ItemResult(position=0, status="done", **names)])
    with closing(sqlite3.connect(work / FILENAME)) as db:
        db.execute(statement)
        db.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER free AFTER INSERT ON intents BEGIN DELETE FROM intents; END",
        "CREATE VIEW endless AS SELECT 1",
    ],
)
def test_a_strangers_ledger_runs_no_program(tmp_path: Path, statement: str) -> None:
    damaged_ledger(tmp_path, statement)
    with pytest.raises(WorkdirUnusable, match=r"has a (trigger|view) '(free|endless)'"):
        Ledger(tmp_path)
    with pytest.raises(WorkdirUnusable, match="do not trust it"):
        ledger_frame(tmp_path)


def test_a_negative_cost_lifts_no_limit(tmp_path: Path) -> None:
    damaged_ledger(tmp_path, "INSERT INTO intents (stage, settled) VALUES ('Captioner', -1000)")
    with Ledger(tmp_path) as ledger:
        assert ledger.spent("Captioner") == 2.0


def test_a_stranger_that_opens_the_ledger_of_a_running_build_takes_no_answer(
    tmp_path: Path,
) -> None:
    """`sqlite3 ledger.sqlite` deletes the log on leaving if the build has lost its locks."""
    program = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); "
        "db.execute('SELECT * FROM answers').fetchall(); db.close()"
    )
    with Ledger(tmp_path) as ledger:
        with ledger.transaction():
            ledger.put("part", "first", {"text": "a wall"})
        read_edits(tmp_path)
        ledger_frame(tmp_path)
        subprocess.run([sys.executable, "-c", program, tmp_path / FILENAME], check=True)
        assert (tmp_path / f"{FILENAME}-wal").exists()
        with ledger.transaction():
            ledger.put("part", "second", {"text": "a tower"})
    with Ledger(tmp_path) as ledger:
        assert ledger.get("part", "first") == {"text": "a wall"}
        assert ledger.get("part", "second") == {"text": "a tower"}
