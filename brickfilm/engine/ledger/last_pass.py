"""Leave the results and records of the last pass in place where a pass repeats them.

To write them again takes ten times as long as to compare digests. Both sides count: what the pass
made, in any order, and the rows as they are stored, so that damaged or deleted ones are written.
"""

from __future__ import annotations

import hashlib
import marshal
import sqlite3
from collections.abc import Callable, Iterable, Sequence

SCHEMA = "CREATE TABLE IF NOT EXISTS last_pass (name TEXT PRIMARY KEY, made TEXT, stored TEXT);"
ROWS_PER_READ = 1000


def digest_number(*parts: bytes) -> int:
    """Return a digest as a number: the sum of several is that of a set, in any order."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest())


def replace_if_changed(
    db: sqlite3.Connection, tables: Sequence[str], made: int | None, write: Callable[[], None]
) -> None:
    """Write these tables, inside a transaction, unless they have what the pass made.

    made: the sum of the digests of everything that is to be written; None if it is unknown.
    """
    name, text = tables[0], f"{made:x}" if made is not None else None
    query = "SELECT made, stored FROM last_pass WHERE name = ?"
    known = db.execute(query, (name,)).fetchone()
    if text and known and known == (text, _stored_digest(db, tables)):
        return
    for table in tables:
        db.execute(f"DELETE FROM {table}")
    write()
    row = (name, text, _stored_digest(db, tables))
    db.execute("INSERT OR REPLACE INTO last_pass VALUES (?, ?, ?)", row)


def _stored_digest(db: sqlite3.Connection, tables: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    factory, db.text_factory = db.text_factory, bytes  # damaged text is no text
    try:
        for table in tables:
            cursor = db.execute(f"SELECT * FROM {table} ORDER BY rowid")
            while rows := cursor.fetchmany(ROWS_PER_READ):
                digest.update(marshal.dumps(rows, 2))  # 2 has no references, and bytes no interning
    finally:
        db.text_factory = factory
    return digest.hexdigest()
