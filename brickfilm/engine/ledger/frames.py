"""Views of a ledger as pandas tables; they may be read while a build is running."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from brickfilm.engine.ledger.file import (
    FILENAME,
    UNKNOWN,
    has_rollback_journal,
    refuse_empty,
    refuse_programs,
    schema_version,
)
from brickfilm.engine.ledger.packed import add_functions, read_packed
from brickfilm.engine.stage import Answer
from brickfilm.errors import UsageError
from brickfilm.schema.public_text import error_line

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


def ledger_frame(folder: str | Path) -> pd.DataFrame:
    """Return the results of the last pass: one row per item and stage."""
    texts = ("stage", "kind", "item", "source_id", "outcome", "reason", "message")
    casts = ", ".join(f"{_text(name)} AS {name}" for name in texts)
    return read_table(
        folder,
        f"SELECT CAST(position AS INTEGER) AS position, {casts}, {_number('seconds')} AS seconds "
        "FROM outcomes ORDER BY position, item",
    )


def answers_frame(folder: str | Path) -> pd.DataFrame:
    """Return the number of answers of each part, the seconds of work, and the newest's time."""
    return read_table(
        folder,
        "SELECT name, part, COUNT(*) AS answers, TOTAL(seconds) AS seconds, MAX(at) AS newest "
        "FROM answers JOIN parts ON parts.digest = answers.part GROUP BY part ORDER BY MIN(at)",
    )


def answered_parts(folder: str | Path) -> set[str]:
    """Return the digests of the parts that have any answer."""
    return set(read_table(folder, "SELECT DISTINCT part FROM answers")["part"])


def latest_answers(folder: str | Path, name: str, collect: Callable[[Iterator[Answer]], T]) -> T:
    """Return what `collect` makes of all answers of a part under its last used settings.

    name: its stored class name. Answers are read one by one, and damaged ones are passed over.
    """
    query = (
        "SELECT * FROM answers WHERE part = (SELECT part FROM answers JOIN parts "
        "ON parts.digest = answers.part WHERE parts.name = ? ORDER BY at DESC LIMIT 1)"
    )

    def read(db: sqlite3.Connection) -> T:
        db.row_factory = sqlite3.Row
        rows = db.execute(query, (name,))
        sealed = "digest" in {column[0] for column in rows.description}  # not in older ledgers
        answers = (read_packed(r["answer"], r["digest"] if sealed else None) for r in rows)
        return collect(answer for answer in answers if answer is not None)

    return _read(folder, read)


def item_answers(folder: str | Path, items: Sequence[str]) -> pd.DataFrame:
    """Return the stored answers about some items, oldest first, with settings and US dollars.

    A scan of a video is listed under the video's id.
    """
    marks = ", ".join("?" * len(items))
    return read_table(
        folder,
        f"SELECT answers.item, {_text('parts.name')} AS name, {_text('parts.settings')} AS "
        f"settings, {_text('unpacked(answers.answer)')} AS answer, "
        f"{_number('answers.at')} AS at, {_number('answers.seconds')} AS seconds, "
        "(SELECT SUM(COALESCE(settled, reserved)) FROM intents WHERE "
        "intents.part = answers.part AND intents.key = answers.key) AS dollars FROM answers "
        f"JOIN parts ON parts.digest = answers.part WHERE answers.item IN ({marks}) "
        "ORDER BY answers.at",
        tuple(items),
    )


def entries_of_last_pass(folder: str | Path) -> set[str]:
    """Return the ids of the entries that the source of the last pass listed."""
    return set(read_table(folder, "SELECT item FROM outcomes WHERE position = 0")["item"])


def probed_digests(folder: str | Path, name: str) -> dict[str, str]:
    """Return the `sha256` of all answers of a part, by stored class name, by their keys."""
    rows = read_table(
        folder,
        "SELECT key, json_extract(unpacked(answer), '$.sha256') AS sha256 FROM answers "
        "JOIN parts ON parts.digest = answers.part WHERE name = ? ORDER BY key",
        (name,),
    )
    return dict(zip(rows["key"], rows["sha256"], strict=True))


def paid_by_item(folder: str | Path) -> dict[str, float]:
    """Return the US dollars settled or reserved for the answers about each item, by item id."""
    rows = read_table(
        folder,
        "SELECT item, SUM(COALESCE(settled, reserved)) AS dollars FROM intents JOIN answers "
        "USING (part, key) WHERE item > '' GROUP BY item",
    )
    return dict(zip(rows["item"], rows["dollars"], strict=True))


def caption_texts(folder: str | Path) -> dict[str, str]:
    """Return the text of the last answer about each item that had one, by item id."""
    rows = read_table(
        folder,
        "SELECT item, json_extract(unpacked(answer), '$.text') AS text FROM answers "
        "WHERE item > '' AND json_extract(unpacked(answer), '$.text') IS NOT NULL ORDER BY at",
    )
    return dict(zip(rows["item"], rows["text"], strict=True))


def usage_frame(folder: str | Path, part: str) -> pd.DataFrame:
    """Return the mean tokens of a part's paid answers by number of stills."""
    return read_table(
        folder,
        "SELECT json_extract(unpacked(answer), '$.stills') AS stills, COUNT(*) AS answers, "
        "AVG(json_extract(unpacked(answer), '$.input_tokens')) AS input_tokens, "
        "AVG(json_extract(unpacked(answer), '$.output_tokens')) AS output_tokens FROM answers "
        "WHERE part = ? AND json_extract(unpacked(answer), '$.input_tokens') > 0 "
        "AND json_extract(unpacked(answer), '$.stills') IS NOT NULL GROUP BY stills",
        (part,),
    )


def unknown_cost(folder: str | Path) -> tuple[int, float]:
    """Return the number of requests without a response, and the US dollars reserved for them."""
    query = f"SELECT COUNT(*) AS requests, SUM(reserved) AS dollars FROM intents WHERE {UNKNOWN}"
    (row,) = read_table(folder, query).fillna(0).to_dict("records")
    return int(row["requests"]), float(row["dollars"])


def open_jobs_frame(folder: str | Path) -> pd.DataFrame:
    """Return open batch jobs: stage, requests, US dollars reserved, and hours since they began."""
    return read_table(
        folder,
        "SELECT jobs.key, jobs.id, MIN(stage) AS stage, COUNT(*) AS requests, "
        "SUM(reserved) AS dollars, (strftime('%s', 'now') - jobs.at) / 3600 AS hours "
        "FROM jobs JOIN intents ON intents.job = jobs.key WHERE state = 'open' "
        "AND settled IS NULL GROUP BY jobs.key ORDER BY jobs.at",
    )


def token_totals(folder: str | Path, stages: Sequence[str]) -> tuple[int, int]:
    """Return the tokens of all answered requests of some stages, and their open requests."""
    marks = ", ".join("?" * len(stages))
    (row,) = read_table(
        folder,
        "SELECT COALESCE(SUM(input_tokens), 0) + COALESCE(SUM(output_tokens), 0) AS tokens, "
        "COALESCE(SUM(settled IS NULL), 0) AS unsettled "
        f"FROM intents WHERE stage IN ({marks})",
        tuple(stages),
    ).to_dict("records")
    return int(row["tokens"]), int(row["unsettled"])


def spend_frame(folder: str | Path) -> pd.DataFrame:
    """Return requests, tokens, settled and reserved US dollars by stage and model."""
    return read_table(
        folder,
        f"SELECT {_text('stage')} AS stage, COALESCE(CAST(model AS TEXT), 'no answer') AS model, "
        "COUNT(*) AS requests, "
        "SUM(input_tokens) AS input_tokens, SUM(output_tokens) AS output_tokens, "
        "COALESCE(SUM(settled), 0) AS settled, "
        "COALESCE(SUM(CASE WHEN settled IS NULL THEN reserved END), 0) AS unsettled "
        "FROM intents GROUP BY 1, 2",
    )


def _text(column: str) -> str:
    """Return SQL for the text of a column, in which a damaged ledger may have anything."""
    return f"CAST(COALESCE({column}, '') AS TEXT)"


def _number(column: str) -> str:
    return f"CAST(COALESCE({column}, 0) AS REAL)"


def read_table(folder: str | Path, query: str, values: tuple[str, ...] = ()) -> pd.DataFrame:
    """Query a ledger; raise UsageError if there is none, or if it is damaged."""
    import pandas as pd

    return _read(folder, lambda db: pd.read_sql_query(query, db, params=values))


def read_newer_table(folder: str | Path, query: str) -> list[tuple[Any, ...]]:
    """Query a table that older ledgers lack; no rows then, and none without a ledger."""
    if not (Path(folder) / FILENAME).is_file():
        return []
    try:
        return _read(folder, lambda db: db.execute(query).fetchall())
    except UsageError as error:
        if "no such table" in str(error):
            return []
        raise


def check_readable(folder: Path) -> None:
    """Raise UsageError for a ledger that is empty, damaged, or of a newer brickfilm."""
    _read(folder, lambda db: None)


def _read(folder: str | Path, fetch: Callable[[sqlite3.Connection], T]) -> T:
    """Read a ledger without writing beside it, as SQLite does on opening one that is closed."""
    path = Path(folder) / FILENAME
    if not path.is_file():
        raise UsageError(f"{str(folder)!r} has no {FILENAME}: name the --out folder of a build")
    refuse_empty(path)
    if has_rollback_journal(path):  # a shared folder: its locks are all that readers have
        mode = "mode=rw" if os.access(path, os.W_OK) else "mode=ro"  # a killed build is rolled back
        return _fetch(path, mode, fetch)
    if not _is_open(path):
        rows = _fetch(path, "immutable=1", fetch)
        if not _is_open(path):  # else a build began meanwhile, and may have changed pages
            return rows
    return _fetch(path, "mode=ro", fetch)


def _is_open(path: Path) -> bool:
    """Return True for a ledger that a build has open, or was killed with; not in others' folders.

    SQLite creates an index beside the file, which fails in a read-only folder.
    """
    return path.with_name(f"{FILENAME}-wal").exists() and os.access(path.parent, os.W_OK)


def _fetch(path: Path, mode: str, fetch: Callable[[sqlite3.Connection], T]) -> T:
    from pandas.errors import DatabaseError

    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)) as db:
        add_functions(db)
        try:
            refuse_programs(db, path)
            schema_version(db, path)
            return fetch(db)
        except (DatabaseError, sqlite3.DatabaseError) as error:
            reason = error_line(error.__cause__ or error)
            raise UsageError(
                f"{str(path)!r} cannot be read as a ledger ({reason}): restore a copy of it, or "
                "name another work folder"
            ) from error
