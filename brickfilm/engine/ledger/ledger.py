"""One SQLite file in the work folder that remembers every answer, and every dollar.

Only the process that drives a build writes it; any number may read it meanwhile.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from brickfilm.digest import digest_name
from brickfilm.engine.ledger.file import FILENAME, connect, lock_work_folder, transaction
from brickfilm.engine.ledger.stale_files import delete_stale_temp_files
from brickfilm.engine.stage import Answer, Part
from brickfilm.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

NAME_COLUMNS = (
    ("answers", "item"),
    ("answers", "key"),
    ("job_items", "item"),
    ("outcomes", "item"),
    ("outcomes", "source_id"),
    ("films", "id"),
)
"""Where the ledger names items, films and sources, by table and column."""


@dataclass(frozen=True, kw_only=True)
class ItemResult:
    """What became of one item at one stage in the last pass."""

    position: int
    """Place of the stage in the pipeline."""
    stage: str
    kind: str
    item: str
    source_id: str
    status: str
    """done, rejected, failed or waiting."""
    reason: str = ""
    message: str = ""
    seconds: float = 0.0
    """Footage this item stands for."""


@dataclass(frozen=True)
class Reservation:
    """A paid request as written down before it was sent."""

    number: int
    reserved: float
    """US dollars."""


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """Questions that were written down to be sent together."""

    key: str
    """Ours, random, committed before the job is submitted."""
    part: str
    id: str | None = None
    """The service's, once it is known."""


class Ledger:
    """The open ledger of a work folder; holds the folder's lock until closed."""

    def __init__(self, work: Path) -> None:
        self.work = work
        with ExitStack() as exits:
            exits.enter_context(lock_work_folder(work))
            delete_stale_temp_files(work)
            self._db = exits.enter_context(closing(connect(work / FILENAME)))
            self._exits = exits.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    def transaction(self) -> AbstractContextManager[object]:
        """All or nothing: what is written inside is committed together."""
        return transaction(self._db, self.work)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever answered, asked or paid for here."""
        query = "SELECT 1 FROM {} LIMIT 1"
        tables = ("answers", "intents", "jobs")
        return not any(self._db.execute(query.format(table)).fetchone() for table in tables)

    # -- answers ---------------------------------------------------------------------------

    def register_parts(self, parts: Iterable[Part]) -> None:
        """Write down what a digest stands for, so that a person can read the ledger."""
        rows = [(p.digest, digest_name(type(p)), p.version, repr(p), time.time()) for p in parts]
        with self.transaction():
            self._db.executemany("INSERT OR IGNORE INTO parts VALUES (?, ?, ?, ?, ?)", rows)

    def get(self, part: str, key: str) -> Answer | None:
        """The answer, unless there is none or a file it names is gone."""
        row = self._db.execute(
            "SELECT answer FROM answers WHERE part = ? AND key = ?", (part, key)
        ).fetchone()
        if row is None:
            return None
        answer: Answer = json.loads(row[0])
        return answer if self._files_are_there(answer) else None

    def put(
        self, part: str, key: str, answer: Answer, seconds: float = 0.0, *, item: str = ""
    ) -> None:
        """Keep an answer for ever, and which item it is about; call it inside a transaction."""
        self._db.execute(
            "INSERT OR REPLACE INTO answers (part, key, answer, seconds, at, item) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (part, key, _json(answer), seconds, time.time(), item),
        )

    def invalidate(self, part: str, key: str) -> None:
        """Drop an answer, so that its question is asked again."""
        self._db.execute("DELETE FROM answers WHERE part = ? AND key = ?", (part, key))

    def _files_are_there(self, answer: Answer) -> bool:
        return all((self.work / file["path"]).is_file() for file in answer.get("files", ()))

    # -- money -----------------------------------------------------------------------------

    def reserve(
        self, stage: str, part: str, key: str, dollars: float, *, job: str | None = None
    ) -> Reservation:
        """Write down a paid request before it is sent."""
        cursor = self._db.execute(
            "INSERT INTO intents (stage, part, key, reserved, job, at) VALUES (?, ?, ?, ?, ?, ?)",
            (stage, part, key, dollars, job, time.time()),
        )
        assert cursor.lastrowid is not None
        return Reservation(cursor.lastrowid, dollars)

    def settle(self, reservation: Reservation, answer: Answer) -> None:
        """Replace an intent's reserve by what the answer says that it cost."""
        names = ("cost", "model", "input_tokens", "output_tokens")
        cost, model, read, written = (answer.get(name) for name in names)
        self._db.execute(
            "UPDATE intents SET settled = ?, model = ?, input_tokens = ?, output_tokens = ? "
            "WHERE id = ?",
            (cost or 0.0, model, read, written, reservation.number),
        )

    def spent(self, stage: str) -> float:
        """US dollars settled and possibly spent by this kind of stage, over all its settings."""
        query = "SELECT COALESCE(SUM(COALESCE(settled, reserved)), 0) FROM intents WHERE stage = ?"
        return float(self._db.execute(query, (stage,)).fetchone()[0])

    def delete(
        self, matches: Callable[[str], bool], ids: Iterable[str], texts: Iterable[str]
    ) -> int:
        """Delete what is known of some items; gives how many rows that were.

        about: whether a name (an item, a key, a source, a film) is meant. Answers do not always say
        which item they are about, so also those go that have one of these ids anywhere, or one of
        these texts as a whole value: "A man" is no part of "A man rides a horse".
        """
        held = [*ids, *(f": {_json(text)}" for text in texts)]
        inside = "DELETE FROM answers WHERE instr(key || answer, ?)"
        with self.transaction():
            rows = sum(self._delete_rows(table, column, matches) for table, column in NAME_COLUMNS)
            rows += sum(self._db.execute(inside, (text,)).rowcount for text in held)
        self._db.execute("VACUUM")  # what was deleted is not left in free pages,
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # nor in the write-ahead log
        return rows

    def _delete_rows(self, table: str, column: str, matches: Callable[[str], bool]) -> int:
        query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} > ''"
        named = [name for (name,) in self._db.execute(query) if matches(name)]
        delete = f"DELETE FROM {table} WHERE {column} = ?"
        return sum(self._db.execute(delete, (name,)).rowcount for name in named)

    # -- jobs --------------------------------------------------------------------------------

    def open_job(self, job: BatchJob, items: Mapping[str, str]) -> None:
        """Write down a job and its items, by key, before it is submitted; in a transaction."""
        values = (job.key, job.part, time.time())
        self._db.execute("INSERT INTO jobs (key, part, state, at) VALUES (?, ?, 'open', ?)", values)
        rows = [(job.part, key, job.key, item) for key, item in items.items()]
        self._db.executemany(
            "INSERT INTO job_items (part, key, job, item) VALUES (?, ?, ?, ?)", rows
        )

    def mark_submitted(self, job: BatchJob, service_id: str) -> None:
        """Write down the service's id of a job."""
        self._db.execute("UPDATE jobs SET id = ? WHERE key = ?", (service_id, job.key))

    def open_jobs(self) -> list[BatchJob]:
        """Jobs that were written down and not collected, the oldest first."""
        rows = self._db.execute("SELECT key, part, id FROM jobs WHERE state = 'open' ORDER BY at")
        return [BatchJob(key=key, part=part, id=service_id) for key, part, service_id in rows]

    def in_open_job(self, part: str, key: str) -> bool:
        """Whether a question is in a job that was not collected."""
        query = "SELECT 1 FROM job_items WHERE part = ? AND key = ?"
        return self._db.execute(query, (part, key)).fetchone() is not None

    def job_items(self, job: BatchJob) -> dict[str, str]:
        """The questions of an open job, each with the item that it is about."""
        query = "SELECT key, COALESCE(item, '') FROM job_items WHERE job = ?"
        return dict(self._db.execute(query, (job.key,)).fetchall())

    def settle_in_job(self, job: BatchJob, key: str, answer: Answer) -> None:
        """`settle`, for the intent of one question of a job."""
        query = "SELECT id, reserved FROM intents WHERE job = ? AND key = ?"
        for number, reserved in self._db.execute(query, (job.key, key)).fetchall():
            self.settle(Reservation(number, reserved), answer)

    def close_job(self, job: BatchJob, state: str) -> None:
        """The job has ended: its questions without an answer may be asked again."""
        self._db.execute("UPDATE jobs SET state = ? WHERE key = ?", (state, job.key))
        self._db.execute("DELETE FROM job_items WHERE job = ?", (job.key,))

    # -- the end of a pass, and the door ---------------------------------------------------

    def save_results(self, item_results: Sequence[ItemResult]) -> None:
        """Replace the outcomes of the last pass by those of this one."""
        with self.transaction():
            self._db.execute("DELETE FROM outcomes")
            self._db.executemany(
                "INSERT INTO outcomes VALUES (:position, :stage, :kind, :item, :source_id, "
                ":status, :reason, :message, :seconds)",
                [vars(outcome) for outcome in item_results],
            )

    def video_facts(self) -> dict[str, dict[str, Any]]:
        """What the door remembers of each film, by the film's id."""
        rows = self._db.execute("SELECT id, facts FROM films")
        return {film: json.loads(facts) for film, facts in rows}

    def save_video_facts(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what the door decided of each film."""
        rows = [(film, json.dumps(fact)) for film, fact in facts.items()]
        with self.transaction():
            self._db.executemany("INSERT OR REPLACE INTO films VALUES (?, ?)", rows)


def _json(value: Any) -> str:
    """As answers are written: a value after its name and ": ", with quotes that no other has."""
    return json.dumps(value, ensure_ascii=False)


def ledger_frame(folder: str | Path) -> pd.DataFrame:
    """What became of every item in the last pass: one row an item and stage, as a table."""
    return _read(folder, "SELECT * FROM outcomes ORDER BY position, item")


def answers_frame(folder: str | Path) -> pd.DataFrame:
    """How many answers each part has, and the seconds of work they took."""
    return _read(
        folder,
        "SELECT name, part, COUNT(*) AS answers, SUM(seconds) AS seconds FROM answers "
        "JOIN parts ON parts.digest = answers.part GROUP BY part ORDER BY MIN(at)",
    )


def latest_answers(folder: str | Path, name: str) -> list[Answer]:
    """Every answer of a part by its class name, under the settings that were used last."""
    rows = _read(
        folder,
        "SELECT answer FROM answers WHERE part = (SELECT part FROM answers JOIN parts "
        "ON parts.digest = answers.part WHERE parts.name = ? ORDER BY at DESC LIMIT 1)",
        (name,),
    )
    return [json.loads(answer) for answer in rows.answer]


def usage_frame(folder: str | Path, part: str) -> pd.DataFrame:
    """Tokens of a part's paid answers on average, by the number of stills they were about."""
    return _read(
        folder,
        "SELECT json_extract(answer, '$.stills') AS stills, COUNT(*) AS answers, "
        "AVG(json_extract(answer, '$.input_tokens')) AS input_tokens, "
        "AVG(json_extract(answer, '$.output_tokens')) AS output_tokens FROM answers "
        "WHERE part = ? AND json_extract(answer, '$.input_tokens') > 0 "
        "AND json_extract(answer, '$.stills') IS NOT NULL GROUP BY stills",
        (part,),
    )


def spend_frame(folder: str | Path) -> pd.DataFrame:
    """Money by stage and model: requests, tokens, settled and possibly spent US dollars."""
    return _read(
        folder,
        "SELECT stage, COALESCE(model, 'no answer') AS model, COUNT(*) AS requests, "
        "SUM(input_tokens) AS input_tokens, SUM(output_tokens) AS output_tokens, "
        "COALESCE(SUM(settled), 0) AS settled, "
        "COALESCE(SUM(CASE WHEN settled IS NULL THEN reserved END), 0) AS unsettled "
        "FROM intents GROUP BY stage, model",
    )


def _read(folder: str | Path, query: str, values: tuple[str, ...] = ()) -> pd.DataFrame:
    import pandas as pd

    path = Path(folder) / FILENAME
    if not path.is_file():
        raise UsageError(f"{str(folder)!r} holds no {FILENAME}: name the --out folder of a build")
    # SQLite wants to put an index beside the file, and fails where nothing can be written
    how = "mode=ro" if os.access(path.parent, os.W_OK) else "immutable=1"
    db = sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)
    try:
        return pd.read_sql_query(query, db, params=values)
    except pd.errors.DatabaseError as error:
        raise UsageError(f"{str(path)!r} cannot be read as a ledger: {error}") from error
    finally:
        db.close()
