"""Ledger: one SQLite file in the work folder with every answer and every cost.

Only the driver of a build writes it; any number of processes may read it at the same time.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from os.path import isfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from brickfilm.digest import digest_name, read_sealed, seal
from brickfilm.engine.ledger.file import (
    FILENAME,
    MAX_JOB_SECONDS,
    UNKNOWN,
    connect,
    damage_errors,
    lock_work_folder,
    transaction,
)
from brickfilm.engine.ledger.item_results import (
    DELETE_NAMELESS_RESULTS,
    RESULT_TABLES,
    ItemResult,
    write_results,
)
from brickfilm.engine.ledger.last_pass import replace_if_changed
from brickfilm.engine.ledger.packed import pack, unpack
from brickfilm.engine.ledger.stale_files import delete_stale_temp_files
from brickfilm.engine.ledger.stored_records import write_records
from brickfilm.engine.stage import Answer, Part
from brickfilm.files import sync_path
from brickfilm.records import Clip, Image
from brickfilm.schema.safe_paths import is_below, may_lead_out, named_files

log = logging.getLogger(__name__)

NAME_COLUMNS = (
    ("answers", "item"),
    ("answers", "key"),
    ("job_items", "item"),
    ("result_items", "item"),
    ("result_items", "source_id"),
    ("films", "id"),
    ("edits", "item"),
    ("records", "item"),
    ("records", "source_id"),
    ("reviews", "item"),
    ("trims", "item"),
)
"""Columns that name items, videos and sources, by table."""
KEYS_PER_QUERY = 100
"""A query for so many takes 3.6 us an answer; one for each 14 us."""


@dataclass(frozen=True)
class Reservation:
    """Worst-case cost of a paid request, stored before the request is sent."""

    number: int
    reserved: float
    """US dollars."""

    def settled(self, answer: Answer) -> float:
        """Return an answer's cost; the whole reservation where it states None for it."""
        cost = answer.get("cost", 0.0)
        return self.reserved if cost is None else float(cost)


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """A batch of requests, stored before it is submitted."""

    key: str
    """Our own random key."""
    part: str
    id: str | None = None
    """The service's id, once it is known."""
    name: str = ""
    """Stored class name of the stage."""


class Ledger:
    """The open ledger of a work folder, which stays locked until the ledger is closed.

    home: the folder of the database; a dry run's is a copy elsewhere.
    """

    def __init__(self, work: Path) -> None:
        self.work = self.home = work
        with ExitStack() as exits:
            exits.enter_context(damage_errors(work / FILENAME))
            exits.enter_context(lock_work_folder(work))
            delete_stale_temp_files(work)
            self._db = exits.enter_context(closing(connect(work / FILENAME)))
            sync_path(work)  # a power cut must not lose the name of a new ledger
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
        """Commit everything written in the block together, or nothing of it."""
        return transaction(self._db, self.work)

    @property
    def is_empty(self) -> bool:
        """Return True if the ledger has no answer, no reservation and no job."""
        query = "SELECT 1 FROM {} LIMIT 1"
        tables = ("answers", "intents", "jobs")
        return not any(self._db.execute(query.format(table)).fetchone() for table in tables)

    # -- answers ---------------------------------------------------------------------------

    def register_parts(self, parts: Iterable[Part]) -> None:
        """Store name and settings of each digest, so that people can read the ledger."""
        rows = [(p.digest, digest_name(type(p)), p.version, repr(p), time.time()) for p in parts]
        with self.transaction():
            self._db.executemany("INSERT OR IGNORE INTO parts VALUES (?, ?, ?, ?, ?)", rows)

    def get(self, part: str, key: str) -> Answer | None:
        """Return an answer; None if there is none, it is damaged or one of its files is missing."""
        return self.get_many(part, [key]).get(key)

    def get_many(self, part: str, keys: Sequence[str]) -> dict[str, Answer]:
        """Return the answers by key, without damaged ones and those of which a file is missing."""
        answers: dict[str, Answer] = {}
        unique = iter(dict.fromkeys(keys))
        while some := list(islice(unique, KEYS_PER_QUERY)):
            for key, stored, digest in self._rows_of(part, some):
                text = unpack(stored)
                answer = None if text is None else read_sealed(text, digest)
                if answer is None or text is None:
                    self._warn_of_damage(part, key)
                elif self._files_are_there(answer, text):
                    answers[key] = answer
        return answers

    def _rows_of(
        self, part: str, keys: Sequence[str]
    ) -> Iterator[tuple[str, str | bytes, str | None]]:
        """Yield key, stored answer and digest; blobs save calls of `text_factory`."""
        columns = "CAST(key AS BLOB), answer, CAST(digest AS BLOB)"
        marks = ", ".join("?" * len(keys))
        query = f"SELECT {columns} FROM answers WHERE part = ? AND key IN ({marks})"
        for key, answer, digest in self._db.execute(query, (part, *keys)).fetchall():
            text = None if digest is None else digest.decode(errors="replace")
            yield key.decode(errors="replace"), answer, text

    def _warn_of_damage(self, part: str, key: str) -> None:
        query = "SELECT item FROM answers WHERE part = ? AND key = ?"
        (item,) = self._db.execute(query, (part, key)).fetchone()
        log.warning("an answer in %s is damaged, and computed again: %s", FILENAME, item)

    def put(
        self, part: str, key: str, answer: Answer, seconds: float = 0.0, *, item: str = ""
    ) -> None:
        """Store an answer and the id of its item, inside a transaction."""
        text = _json(answer)
        self._db.execute(
            "INSERT OR REPLACE INTO answers (part, key, answer, seconds, at, item, digest) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (part, key, pack(text), seconds, time.time(), item, seal(text)),
        )

    def invalidate(self, part: str, key: str) -> None:
        """Delete an answer, so that it is computed again."""
        self._db.execute("DELETE FROM answers WHERE part = ? AND key = ?", (part, key))

    def _files_are_there(self, answer: Answer, text: str) -> bool:
        """Return False as well for a file outside the work folder, which is none of ours."""
        if may_lead_out(text) and not all(map(is_below, named_files(answer))):
            return False
        work = os.fspath(self.work)  # os.path takes a fifth of the time of pathlib
        for file in answer.get("files", ()):  # noqa: SIM110  `all` of a generator takes twice as long
            if not isfile(f"{work}/{file['path']}"):  # noqa: PTH113
                return False
        return True

    # -- money -----------------------------------------------------------------------------

    def reserve(
        self, stage: str, part: str, key: str, dollars: float, *, job: str | None = None
    ) -> Reservation:
        """Store the worst-case cost of a paid request before it is sent."""
        cursor = self._db.execute(
            "INSERT INTO intents (stage, part, key, reserved, job, at) VALUES (?, ?, ?, ?, ?, ?)",
            (stage, part, key, dollars, job, time.time()),
        )
        assert cursor.lastrowid is not None
        return Reservation(cursor.lastrowid, dollars)

    def settle(self, reservation: Reservation, answer: Answer) -> None:
        """Replace a reservation by the cost that the answer states."""
        names = ("model", "input_tokens", "output_tokens")
        model, input_tokens, output_tokens = (answer.get(name) for name in names)
        self._db.execute(
            "UPDATE intents SET settled = ?, model = ?, input_tokens = ?, output_tokens = ? "
            "WHERE id = ?",
            (reservation.settled(answer), model, input_tokens, output_tokens, reservation.number),
        )

    def spent(self, stage: str) -> float:
        """Return US dollars settled or reserved by a stage name, over all its settings."""
        query = (  # a stranger's negative cost would lift the limit
            "SELECT COALESCE(SUM(MAX(COALESCE(settled, reserved), 0)), 0) FROM intents "
            "WHERE stage = ?"
        )
        return float(self._db.execute(query, (stage,)).fetchone()[0])

    def unknown_cost(self) -> tuple[int, float]:
        """Return how many requests have no response, and the US dollars reserved for them."""
        query = f"SELECT COUNT(*), COALESCE(SUM(reserved), 0) FROM intents WHERE {UNKNOWN}"
        count, dollars = self._db.execute(query).fetchone()
        return int(count), float(dollars)

    def release_unknown(self) -> tuple[int, float]:
        """Book requests without a response at 0; return their number and what was reserved.

        Batch jobs that must have ended long ago are closed; others stay reserved. Somebody must
        have compared the bill.
        """
        with self.transaction():
            for job in self.open_jobs(before=time.time() - MAX_JOB_SECONDS):
                self.close_job(job, "released")
            released = self.unknown_cost()
            update = f"UPDATE intents SET settled = 0, model = 'released' WHERE {UNKNOWN}"
            self._db.execute(update)
        return released

    def delete(
        self, matches: Callable[[str], bool], ids: Iterable[str], texts: Iterable[str]
    ) -> int:
        """Delete everything about some items; return the number of rows.

        matches: called with the name of an item, key, source or video. Answers do not always name
        their item, so those are deleted too that contain one of the ids anywhere, or one of the
        texts as a whole value ("A man" does not match "A man rides a horse").
        """
        needles = [*ids, *(f": {_json(text)}" for text in texts)]
        with self.transaction():
            rows = sum(self._delete_rows(table, column, matches) for table, column in NAME_COLUMNS)
            rows += self._delete_answers_with(needles) if needles else 0
            self._db.execute(DELETE_NAMELESS_RESULTS)
        self._db.execute("VACUUM")  # leaves no deleted content in free pages,
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # and this none in the write-ahead log
        return rows

    def _delete_rows(self, table: str, column: str, matches: Callable[[str], bool]) -> int:
        query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} > ''"
        names = [name for (name,) in self._db.execute(query) if matches(name)]
        delete = f"DELETE FROM {table} WHERE {column} = ?"
        return sum(self._db.execute(delete, (name,)).rowcount for name in names)

    def _delete_answers_with(self, needles: Sequence[str]) -> int:
        """Delete the answers that contain a text, and those that cannot be read: nobody can say."""

        def names_one(key: str, stored: str | bytes) -> bool:
            text = unpack(stored)
            return text is None or any(needle in key or needle in text for needle in needles)

        self._db.create_function("names_one", 2, names_one, deterministic=True)
        return self._db.execute("DELETE FROM answers WHERE names_one(key, answer)").rowcount

    # -- jobs --------------------------------------------------------------------------------

    def open_job(self, job: BatchJob, items: Mapping[str, str]) -> None:
        """Store a job and the ids of its items by key, inside a transaction."""
        values = (job.key, job.part, time.time())
        self._db.execute("INSERT INTO jobs (key, part, state, at) VALUES (?, ?, 'open', ?)", values)
        rows = [(job.part, key, job.key, item) for key, item in items.items()]
        self._db.executemany(
            "INSERT INTO job_items (part, key, job, item) VALUES (?, ?, ?, ?)", rows
        )

    def mark_submitted(self, job: BatchJob, service_id: str) -> None:
        """Store the service's id of a job."""
        self._db.execute("UPDATE jobs SET id = ? WHERE key = ?", (service_id, job.key))

    def open_jobs(self, *, before: float = math.inf) -> list[BatchJob]:
        """Return the jobs that were opened before a Unix time and not collected, oldest first."""
        rows = self._db.execute(
            "SELECT key, part, id, COALESCE(name, '') FROM jobs LEFT JOIN parts "
            "ON parts.digest = jobs.part WHERE state = 'open' AND at < ? ORDER BY at",
            (before,),
        )
        return [BatchJob(key=key, part=part, id=id, name=name) for key, part, id, name in rows]

    def in_open_job(self, part: str, key: str) -> bool:
        """Return True if an answer is expected from an open job."""
        query = "SELECT 1 FROM job_items WHERE part = ? AND key = ?"
        return self._db.execute(query, (part, key)).fetchone() is not None

    def job_items(self, job: BatchJob) -> dict[str, str]:
        """Return the item ids of an open job by key."""
        query = "SELECT key, COALESCE(item, '') FROM job_items WHERE job = ?"
        return dict(self._db.execute(query, (job.key,)).fetchall())

    def settle_in_job(self, job: BatchJob, key: str, answer: Answer) -> None:
        """Settle the reservation of one item of a job."""
        query = "SELECT id, reserved FROM intents WHERE job = ? AND key = ?"
        for number, reserved in self._db.execute(query, (job.key, key)).fetchall():
            self.settle(Reservation(number, reserved), answer)

    def close_job(self, job: BatchJob, state: str) -> None:
        """Store that a job has ended; items without an answer may be submitted again."""
        self._db.execute("UPDATE jobs SET state = ? WHERE key = ?", (state, job.key))
        self._db.execute("DELETE FROM job_items WHERE job = ?", (job.key,))

    # -- end of a pass -----------------------------------------------------------------------

    def save_results(
        self,
        item_results: Iterable[ItemResult],
        records: Iterable[Clip | Image] = (),
        *,
        results_digest: int | None = None,
        records_digest: int | None = None,
    ) -> None:
        """Replace the item results, and the clips and images, of the last pass.

        The digests are sums of `result_digest` and `record_digest`; those that are known are not
        written again.
        """
        db = self._db
        with self.transaction():
            replace_if_changed(db, ("records",), records_digest, lambda: write_records(db, records))
            replace_if_changed(
                db, RESULT_TABLES, results_digest, lambda: write_results(db, item_results)
            )

    def video_facts(self) -> dict[str, dict[str, Any]]:
        """Return what earlier final passes decided about each video, by video id."""
        rows = self._db.execute("SELECT id, facts, digest FROM films").fetchall()
        facts = {video: read_sealed(text, digest) for video, text, digest in rows}
        if damaged := [video for video, decided in facts.items() if decided is None]:
            log.warning("the splits of %s in %s are damaged, and drawn again", damaged, FILENAME)
        return {video: decided for video, decided in facts.items() if decided is not None}

    def save_video_facts(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """Store what the final pass decided about each video, by video id."""
        texts = {video: json.dumps(decided) for video, decided in facts.items()}
        rows = [(video, text, seal(text)) for video, text in texts.items()]
        with self.transaction():
            self._db.executemany("INSERT OR REPLACE INTO films VALUES (?, ?, ?)", rows)


def _json(value: Any) -> str:
    """Serialise as answers are stored: `delete` searches them for `: "text"`."""
    return json.dumps(value, ensure_ascii=False)
