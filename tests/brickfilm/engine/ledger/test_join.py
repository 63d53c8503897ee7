"""Join ledgers: the newer answer, every request once, jobs as far as anybody knows them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from brickfilm.engine.ledger import (
    BatchJob,
    CaptionEdit,
    Ledger,
    join_ledger,
    read_edits,
    save_edits,
    start_from_ledger,
    token_totals,
    unknown_cost,
)
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.errors import UsageError

BILL = {"cost": 0.25, "model": "toy", "input_tokens": 30, "output_tokens": 10}


def fill(work: Path, *keys: str, text: str = "") -> None:
    """Store an answer and its paid request under each key."""
    with Ledger(work) as ledger, ledger.transaction():
        for key in keys:
            reservation = ledger.reserve("Say", "part", key, 1.0)
            ledger.settle(reservation, BILL)
            ledger.put("part", key, {"text": text or key}, item=key)


def test_two_ledgers_become_one_and_nothing_counts_twice(tmp_path: Path) -> None:
    fill(tmp_path / "a", "1", "2")
    fill(tmp_path / "b", "3")
    for _ in range(2):
        for name in "ab":
            join_ledger(tmp_path / "all", tmp_path / name)
    with Ledger(tmp_path / "all") as ledger:
        assert [ledger.get("part", key) for key in "123"] == [{"text": key} for key in "123"]
        assert ledger.spent("Say") == 0.75
    assert token_totals(tmp_path / "all", ["Say"]) == (120, 0)


def test_the_newer_answer_and_the_newer_edit_are_kept(tmp_path: Path) -> None:
    fill(tmp_path / "a", "1", text="old")
    fill(tmp_path / "b", "1", text="new")
    save_edits(tmp_path / "a", [CaptionEdit(item="x", caption="old", at=1.0)])
    save_edits(tmp_path / "b", [CaptionEdit(item="x", caption="new", at=2.0)])
    for name in "baab":
        join_ledger(tmp_path / "all", tmp_path / name)
    with Ledger(tmp_path / "all") as ledger:
        assert ledger.get("part", "1") == {"text": "new"}
    assert read_edits(tmp_path / "all")["x"].caption == "new"


def test_a_request_that_is_settled_later_is_settled_there_too(tmp_path: Path) -> None:
    with Ledger(tmp_path / "a") as ledger:
        reservation = ledger.reserve("Say", "part", "1", 1.0)
    join_ledger(tmp_path / "all", tmp_path / "a")
    assert unknown_cost(tmp_path / "all") == (1, 1.0)
    with Ledger(tmp_path / "a") as ledger:
        ledger.settle(reservation, BILL)
    join_ledger(tmp_path / "all", tmp_path / "a")
    with Ledger(tmp_path / "all") as ledger:
        assert ledger.spent("Say") == 0.25
        ledger.release_unknown()
    assert unknown_cost(tmp_path / "all") == (0, 0.0)


def test_what_was_released_stays_released(tmp_path: Path) -> None:
    with Ledger(tmp_path / "a") as ledger:
        ledger.reserve("Say", "part", "1", 1.0)
    join_ledger(tmp_path / "all", tmp_path / "a")
    with Ledger(tmp_path / "all") as ledger:
        ledger.release_unknown()
    join_ledger(tmp_path / "all", tmp_path / "a")
    assert unknown_cost(tmp_path / "all") == (0, 0.0)


def test_a_job_that_ended_does_not_open_again(tmp_path: Path) -> None:
    job = BatchJob(key="k", part="part")
    with Ledger(tmp_path / "a") as ledger, ledger.transaction():
        ledger.open_job(job, {"1": "item"})
    join_ledger(tmp_path / "all", tmp_path / "a")
    with Ledger(tmp_path / "all") as ledger:
        assert [job.key for job in ledger.open_jobs()] == ["k"]
        assert ledger.in_open_job("part", "1")
    with Ledger(tmp_path / "a") as ledger:
        ledger.close_job(job, "collected")
    fill(tmp_path / "b", "2")
    for name in "ab":
        join_ledger(tmp_path / "all", tmp_path / name)
    with Ledger(tmp_path / "all") as ledger:
        assert not ledger.open_jobs()
        assert not ledger.in_open_job("part", "1")


def test_a_new_shard_begins_with_answers_and_its_share_of_the_bill(tmp_path: Path) -> None:
    fill(tmp_path / "all", "1", "2")
    for name in "ab":
        start_from_ledger(tmp_path / name, tmp_path / "all", 2)
        with Ledger(tmp_path / name) as ledger:
            assert ledger.get("part", "2") == {"text": "2"}
            assert ledger.spent("Say") == 0.25
        assert token_totals(tmp_path / name, ["Say"]) == (40, 0)
        join_ledger(tmp_path / "all", tmp_path / name)
    with Ledger(tmp_path / "all") as ledger:
        assert ledger.spent("Say") == 0.5


def test_a_build_that_waits_for_jobs_is_not_divided(tmp_path: Path) -> None:
    with Ledger(tmp_path / "all") as ledger, ledger.transaction():
        ledger.open_job(BatchJob(key="k", part="part"), {"1": "item"})
    with pytest.raises(UsageError, match="waits for batch jobs"):
        start_from_ledger(tmp_path / "a", tmp_path / "all", 2)


def test_a_join_that_fails_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    fill(tmp_path / "a", "1")
    fill(tmp_path / "all", "2")
    with closing(sqlite3.connect(tmp_path / "a" / FILENAME)) as db, db:
        db.execute("DROP TABLE jobs")
        db.execute("CREATE TABLE jobs (key TEXT)")
    with pytest.raises(UsageError, match="cannot be used"):
        join_ledger(tmp_path / "all", tmp_path / "a")
    with Ledger(tmp_path / "all") as ledger:
        assert ledger.get("part", "1") is None
        assert ledger.spent("Say") == 0.25
