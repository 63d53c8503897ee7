"""Results of the last pass: the view `outcomes`, over tables that name each item and status once.

An item has a result at every stage, and in full they would take a fifth of a ledger.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from brickfilm.engine.ledger.last_pass import digest_number

VIEW = """CREATE VIEW outcomes AS
    SELECT position, stage, kind, result_items.item AS item, source_id, outcome, reason,
    COALESCE(message, '') AS message, seconds
    FROM results JOIN result_labels ON result_labels.id = results.label
    JOIN result_items ON result_items.id = results.item"""
"""As SQLite states it: no other view is trusted."""
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS result_labels (
    id INTEGER PRIMARY KEY, position INTEGER, stage TEXT, kind TEXT, outcome TEXT, reason TEXT
);
CREATE TABLE IF NOT EXISTS result_items (
    id INTEGER PRIMARY KEY, item TEXT, source_id TEXT, seconds REAL
);
CREATE TABLE IF NOT EXISTS results (label INTEGER, item INTEGER, message TEXT);
{VIEW.replace("VIEW", "VIEW IF NOT EXISTS", 1)};
"""
DELETE_NAMELESS_RESULTS = "DELETE FROM results WHERE item NOT IN (SELECT id FROM result_items)"
"""Removes the messages about deleted items, which the view does not show any more."""
RESULT_TABLES = ("results", "result_labels", "result_items")


@dataclass(frozen=True, kw_only=True)
class ItemResult:
    """The result of one item at one stage in the last pass."""

    position: int
    """Index of the stage in the pipeline."""
    stage: str
    kind: str
    item: str
    source_id: str
    status: str
    """done, rejected, failed or waiting."""
    reason: str = ""
    message: str = ""
    seconds: float = 0.0
    """Duration of the footage that the item is about."""


def result_digest(r: ItemResult) -> int:
    """Return a digest of everything that is stored of a result."""
    label = f"{r.position}\0{r.stage}\0{r.kind}\0{r.status}\0{r.reason}"
    text = f"{label}\0{r.item}\0{r.source_id}\0{r.seconds}\0{r.message}"
    return digest_number(text.encode(errors="backslashreplace"))


def write_results(db: sqlite3.Connection, results: Iterable[ItemResult]) -> None:
    """Write the results of the last pass to empty tables, inside a transaction."""
    db.executemany("INSERT INTO results VALUES (?, ?, ?)", _numbered(db, results))


def _numbered(
    db: sqlite3.Connection, results: Iterable[ItemResult]
) -> Iterator[tuple[int, int, str | None]]:
    """Yield label, item and message of each result; labels and items are written before."""
    labels: dict[tuple[object, ...], int] = {}
    items: dict[bytes, int] = {}
    for r in results:
        label = (r.position, r.stage, r.kind, r.status, r.reason)
        if label not in labels:
            labels[label] = len(labels) + 1
            row = (labels[label], *label)
            db.execute("INSERT INTO result_labels VALUES (?, ?, ?, ?, ?, ?)", row)
        name = f"{r.item}\0{r.source_id}\0{r.seconds}".encode()
        key = hashlib.blake2b(name, digest_size=16).digest()  # a fifth of the names' memory
        if key not in items:
            items[key] = len(items) + 1
            named = (items[key], r.item, r.source_id, r.seconds)
            db.execute("INSERT INTO result_items VALUES (?, ?, ?, ?)", named)
        yield labels[label], items[key], r.message or None


def convert_older_results(db: sqlite3.Connection) -> None:
    """Replace an older ledger's table of results by the view, inside a transaction."""
    query = "SELECT 1 FROM sqlite_master WHERE name = 'outcomes' AND type = 'table'"
    if db.execute(query).fetchone() is None:
        return
    columns = "position, stage, kind, item, source_id, outcome, reason, message, seconds"
    names = [name.strip().replace("outcome", "status") for name in columns.split(",")]
    rows = db.execute(f"SELECT {columns} FROM outcomes").fetchall()
    db.execute("DROP TABLE outcomes")
    for statement in filter(str.strip, SCHEMA.split(";")):
        db.execute(statement)
    write_results(db, (ItemResult(**dict(zip(names, row, strict=True))) for row in rows))
