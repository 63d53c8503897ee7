"""Results are stored once for each item, and read as one row for each item and stage."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

from brickfilm.engine.ledger import ItemResult, Ledger, ledger_frame
from brickfilm.engine.ledger.file import FILENAME

COLUMNS = "position, stage, kind, item, source_id, outcome, reason, message, seconds"
DONE = ItemResult(
    position=0, stage="Cut", kind="clip", item="a-1", source_id="a.mp4", status="done", seconds=1.5
)
RESULTS = [
    DONE,
    replace(DONE, position=1, stage="Say", status="failed", reason="busy", message="a-1: 503"),
    replace(DONE, item="a-2"),
    replace(DONE, item="a-2", source_id="b.mp4"),
    replace(DONE, item="a-2", seconds=2.0),
    replace(DONE, item="b.mp4", kind="listing", seconds=0.0),
]


def read(folder: Path) -> list[ItemResult]:
    rows = ledger_frame(folder).rename(columns={"outcome": "status"}).to_dict("records")
    return [ItemResult(**{str(name): value for name, value in row.items()}) for row in rows]


def in_order(results: list[ItemResult]) -> list[ItemResult]:
    return sorted(results, key=repr)


def test_results_are_read_as_they_were_saved(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.save_results([replace(DONE, item="of the pass before")])
        ledger.save_results(iter(RESULTS))
    assert in_order(read(tmp_path)) == in_order(RESULTS)
    assert list(ledger_frame(tmp_path)) == COLUMNS.split(", ")


def test_the_table_of_an_older_ledger_is_converted(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.save_results([])
    with sqlite3.connect(tmp_path / FILENAME) as db:
        db.execute("DROP VIEW outcomes")
        for name in ("results", "result_labels", "result_items"):
            db.execute(f"DROP TABLE {name}")
        db.execute(f"CREATE TABLE outcomes ({COLUMNS})")
        rows = [tuple(vars(r)[n] for n in vars(DONE)) for r in RESULTS]
        db.executemany("INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.execute("PRAGMA user_version = 3")
    db.close()
    assert in_order(read(tmp_path)) == in_order(RESULTS)  # as long as nobody builds in it
    with Ledger(tmp_path):
        pass
    assert in_order(read(tmp_path)) == in_order(RESULTS)
    with Ledger(tmp_path) as ledger:
        ledger.save_results(RESULTS[:1])
    assert read(tmp_path) == RESULTS[:1]


def test_a_removed_item_is_in_no_result(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        secret = replace(DONE, item="secret", status="failed", message="secret: 503")
        ledger.save_results([*RESULTS[2:4], secret])
        assert ledger.delete("secret".__eq__, (), ()) == 1
    assert in_order(read(tmp_path)) == in_order(RESULTS[2:4])
    assert b"secret" not in (tmp_path / FILENAME).read_bytes()
