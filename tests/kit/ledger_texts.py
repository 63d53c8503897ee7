"""Everything that a ledger says, the packed texts too."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from brickfilm.engine.ledger.file import FILENAME
from brickfilm.engine.ledger.packed import unpack


def ledger_texts(work: Path) -> Iterator[tuple[bytes, str]]:
    """Yield every text of every table, as it is stored and as it reads."""
    with closing(sqlite3.connect(work / FILENAME)) as db:
        tables = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        for row in (row for table in tables for row in db.execute(f'SELECT * FROM "{table}"')):
            for value in row:
                if isinstance(value, str | bytes):
                    stored = value.encode() if isinstance(value, str) else value
                    yield stored, unpack(value) or ""


def stored_texts(word: str, work: Path) -> set[bytes]:
    """Return the stored bytes of the texts that contain a word."""
    return {stored for stored, text in ledger_texts(work) if word in text}
