"""The ledger's SQLite file: tables, lock, connection and transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from brickfilm.digest import seal
from brickfilm.engine.ledger import item_results, last_pass
from brickfilm.engine.ledger.local_folder import is_local
from brickfilm.engine.ledger.packed import add_functions
from brickfilm.errors import WorkdirBusy, WorkdirUnusable
from brickfilm.files import lock_file
from brickfilm.schema.public_text import error_line

FILENAME = "ledger.sqlite"
LOCK_FILENAME = "ledger.lock"
LEDGER_FILES = (FILENAME, f"{FILENAME}-wal", f"{FILENAME}-shm", LOCK_FILENAME)
SCHEMA_VERSION = 4
"""4: texts may be packed, and `outcomes` is a view."""
ARTEFACT_FOLDERS = ("clips", "stills", "dataset")

SCHEMA = """
CREATE TABLE IF NOT EXISTS parts (
    digest TEXT PRIMARY KEY, name TEXT, version INTEGER, settings TEXT, first_used REAL
);
CREATE TABLE IF NOT EXISTS answers (
    part TEXT, key TEXT, answer TEXT, seconds REAL, at REAL, item TEXT, digest TEXT,
    PRIMARY KEY (part, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intents (
    id INTEGER PRIMARY KEY, stage TEXT, part TEXT, key TEXT, reserved REAL, settled REAL,
    model TEXT, input_tokens INTEGER, output_tokens INTEGER, job TEXT, at REAL
);
CREATE INDEX IF NOT EXISTS intents_by_job ON intents (job, key) WHERE job IS NOT NULL;
CREATE TABLE IF NOT EXISTS jobs (
    key TEXT PRIMARY KEY, part TEXT, id TEXT, state TEXT, note TEXT, at REAL
);
CREATE TABLE IF NOT EXISTS job_items (
    part TEXT, key TEXT, job TEXT, item TEXT, PRIMARY KEY (part, key)
);
CREATE TABLE IF NOT EXISTS films (id TEXT PRIMARY KEY, facts TEXT, digest TEXT);
CREATE TABLE IF NOT EXISTS edits (
    item TEXT PRIMARY KEY, caption TEXT, status TEXT, reject INTEGER, note TEXT, at REAL
);
CREATE TABLE IF NOT EXISTS reviews (
    id INTEGER PRIMARY KEY, item TEXT, reviewer TEXT, queue TEXT, caption_wrong INTEGER,
    cut_wrong INTEGER, caption_model TEXT, prompt_digest TEXT, caption_digest TEXT, before TEXT,
    at REAL
);
CREATE TABLE IF NOT EXISTS trims (
    item TEXT PRIMARY KEY, start_frame INTEGER, end_frame INTEGER, at REAL
);
CREATE TABLE IF NOT EXISTS records (item TEXT, source_id TEXT, facts TEXT);
"""
COLUMNS_ADDED_LATER = (
    ("answers", "item"),
    ("answers", "digest"),
    ("job_items", "item"),
    ("films", "digest"),
)
"""Columns that ledgers of older schemas get, by table."""
UNKNOWN = """settled IS NULL AND
    (job IS NULL OR job NOT IN (SELECT key FROM jobs WHERE state = 'open'))"""
"""SQL condition of a request without a response, which may have been charged."""
MAX_JOB_SECONDS = 2 * 24 * 3600
"""Twice the window of a batch job: a service has ended it by then."""


def lock_work_folder(work: Path) -> AbstractContextManager[None]:
    """Lock the work folder, created if missing; raise WorkdirBusy or WorkdirUnusable."""
    return lock_file(
        work / LOCK_FILENAME,
        busy=lambda holder: WorkdirBusy(
            f"{str(work)!r} is being built by {holder}: wait for it, or name another folder"
        ),
        unwritable=lambda error: WorkdirUnusable(
            f"the work folder {str(work)!r} cannot be written ({error.strerror}): name another"
        ),
    )


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, and create or upgrade its tables."""
    refuse_empty(path)
    with damage_errors(path):
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(db, path)
        except BaseException:
            db.close()  # which deletes its log
            raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.text_factory = lambda text: text.decode(errors="replace")  # a digest finds the damage
    add_functions(db)
    mode = "WAL" if is_local(path.parent) else "DELETE"
    db.execute(f"PRAGMA journal_mode = {mode}")
    _has_rollback_journal[_file_id(path)] = mode == "DELETE"
    db.execute("PRAGMA synchronous = FULL")  # a reservation survives a power cut
    refuse_programs(db, path)
    version = schema_version(db, path)
    db.executescript(SCHEMA + item_results.SCHEMA + last_pass.SCHEMA)
    if 0 < version < SCHEMA_VERSION:
        _upgrade(db, path.parent)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def has_rollback_journal(path: Path) -> bool:
    """Return True for a ledger without a write-ahead log (sqlite.org/fileformat.html, byte 18).

    The file is opened at most once in a process, and never after `connect`: closing any handle of
    it drops SQLite's locks in this process, and another one would then delete the log of a build
    (sqlite.org/howtocorrupt.html, 2.2).
    """
    key = _file_id(path)
    if key not in _has_rollback_journal:
        with path.open("rb") as file:
            _has_rollback_journal[key] = file.read(19)[18:] == b"\x01"
    return _has_rollback_journal[key]


_has_rollback_journal: dict[tuple[int, int], bool] = {}


def _file_id(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino


def refuse_programs(db: sqlite3.Connection, path: Path) -> None:
    """Raise WorkdirUnusable for triggers, and views but ours: a stranger's could undo writes.

    A trigger that deletes reservations would lift the limit of a budget.
    """
    query = (
        "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') AND sql <> ? "
        "LIMIT 1"
    )
    if found := db.execute(query, (item_results.VIEW,)).fetchone():
        kind, name = found
        raise WorkdirUnusable(
            f"{str(path)!r} has a {kind} {name!r}, which no brickfilm writes: do not trust it, and "
            "name another work folder"
        )


def schema_version(db: sqlite3.Connection, path: Path) -> int:
    """Return the version of a ledger's schema; raise WorkdirUnusable for one of a newer one."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise WorkdirUnusable(
            f"{str(path)!r} was written by a newer brickfilm (schema {version}, this one has "
            f"{SCHEMA_VERSION}): upgrade brickfilm"
        )
    return version


def refuse_empty(path: Path) -> None:
    """Raise WorkdirUnusable for an empty ledger beside artefacts: its answers are lost."""
    if not path.is_file() or path.stat().st_size:
        return
    if beside := [name for name in ARTEFACT_FOLDERS if (path.parent / name).exists()]:
        raise WorkdirUnusable(
            f"{str(path)!r} is empty, and {', '.join(beside)} beside it are not: restore a copy of "
            "the ledger, or delete the empty file to compute and pay for every answer again"
        )


@contextmanager
def damage_errors(path: Path) -> Iterator[None]:
    """Raise WorkdirUnusable for what SQLite cannot read or write."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise WorkdirUnusable(
            f"{str(path)!r} cannot be used ({error_line(error)}): restore a copy of it, salvage "
            f"what is left with `sqlite3 {path.name} .recover`, or name another work folder"
        ) from error


@contextmanager
def transaction(db: sqlite3.Connection, work: Path) -> Iterator[None]:
    """Commit the block or roll it back; raise WorkdirUnusable if the disk is full."""
    if db.in_transaction:  # a nested transaction is part of the outer one
        yield
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except sqlite3.OperationalError as error:
        _rollback(db)
        if "full" in str(error):
            raise WorkdirUnusable(
                f"the disk of {str(work)!r} is full: make room and run the same command again, "
                "no answer is lost"
            ) from error
        raise
    except BaseException:
        _rollback(db)
        raise


def _upgrade(db: sqlite3.Connection, work: Path) -> None:
    """Add the columns that an older schema lacks, seal what is stored, and convert results."""
    for table, column in COLUMNS_ADDED_LATER:
        columns = db.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchall()
        if (column,) not in columns:  # a kill may have come between two tables
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} TEXT")
    with transaction(db, work):
        item_results.convert_older_results(db)
    db.create_function("seal", 1, seal, deterministic=True)
    db.execute("UPDATE answers SET digest = seal(answer) WHERE digest IS NULL")
    db.execute("UPDATE films SET digest = seal(facts) WHERE digest IS NULL")


def _rollback(db: sqlite3.Connection) -> None:
    if db.in_transaction:
        db.execute("ROLLBACK")
