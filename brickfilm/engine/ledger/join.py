"""Join ledgers: copy answers, edits, requests and batch jobs of one work folder into another.

It can be repeated: what the target has already is left, or replaced by what is newer.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from brickfilm.engine.ledger.file import FILENAME, connect, damage_errors, transaction
from brickfilm.engine.ledger.reviews import REVIEW_COLUMNS
from brickfilm.errors import UsageError

CARRIED_OVER = "carried over"
"""In the place of a model: a share of what was spent before a build was divided into shards."""

_REQUEST = "stage, part, key, reserved, settled, model, input_tokens, output_tokens, job, at"
_REVIEW = ", ".join(REVIEW_COLUMNS)
_SAME = "other.part = intents.part AND other.key = intents.key AND other.at = intents.at"
_BOTH = (
    "INSERT OR IGNORE INTO parts SELECT digest, name, version, settings, first_used "
    "FROM source.parts",
    "INSERT INTO answers (part, key, answer, seconds, at, item, digest) "
    "SELECT part, key, answer, seconds, at, item, digest FROM source.answers WHERE true "
    "ON CONFLICT DO UPDATE SET answer = excluded.answer, seconds = excluded.seconds, "
    "at = excluded.at, item = excluded.item, digest = excluded.digest "
    "WHERE excluded.at > answers.at",
    "INSERT INTO edits (item, caption, status, reject, note, at) "
    "SELECT item, caption, status, reject, note, at FROM source.edits WHERE true "
    "ON CONFLICT DO UPDATE SET caption = excluded.caption, status = excluded.status, "
    "reject = excluded.reject, note = excluded.note, at = excluded.at "
    "WHERE excluded.at > edits.at",
    "INSERT INTO trims SELECT item, start_frame, end_frame, at FROM source.trims WHERE true "
    "ON CONFLICT DO UPDATE SET start_frame = excluded.start_frame, "
    "end_frame = excluded.end_frame, at = excluded.at WHERE excluded.at > trims.at",
    f"INSERT INTO reviews ({_REVIEW}) SELECT {_REVIEW} FROM source.reviews AS other "
    "WHERE NOT EXISTS (SELECT 1 FROM reviews WHERE reviews.item = other.item "
    "AND reviews.reviewer = other.reviewer AND reviews.at = other.at) ORDER BY id",
)
_MONEY = (
    "CREATE INDEX intents_by_answer ON intents (part, key, at)",
    "UPDATE intents SET settled = other.settled, model = other.model, "
    "input_tokens = other.input_tokens, output_tokens = other.output_tokens "
    f"FROM source.intents AS other WHERE {_SAME} AND intents.settled IS NULL",
    f"INSERT INTO intents ({_REQUEST}) SELECT {_REQUEST} FROM source.intents AS other "
    f"WHERE model IS NOT '{CARRIED_OVER}' "
    f"AND NOT EXISTS (SELECT 1 FROM intents WHERE {_SAME})",
    "DROP INDEX intents_by_answer",
    "INSERT INTO jobs (key, part, id, state, note, at) "
    "SELECT key, part, id, state, note, at FROM source.jobs WHERE true "
    "ON CONFLICT DO UPDATE SET id = excluded.id, state = excluded.state, note = excluded.note "
    "WHERE jobs.state = 'open'",
    "INSERT OR IGNORE INTO job_items (part, key, job, item) "
    "SELECT part, key, job, item FROM source.job_items",
    "DELETE FROM job_items WHERE job IN (SELECT key FROM jobs WHERE state <> 'open')",
)
_SHARE = (
    "INSERT INTO intents "
    "(stage, part, key, reserved, settled, model, input_tokens, output_tokens, at) "
    "SELECT stage, '', '', SUM(reserved) / :count, SUM(COALESCE(settled, reserved)) / :count, "
    f"'{CARRIED_OVER}', SUM(input_tokens) / :count, SUM(output_tokens) / :count, :now "
    "FROM source.intents GROUP BY stage"
)


def join_ledger(target: Path, source: Path) -> None:
    """Copy everything but results and splits of the work folder `source` into `target`.

    Of two answers or edits the newer one is kept, and every request is counted once. Both folders
    must be locked.
    """
    with _attached(target, source) as db:
        for statement in (*_BOTH, *_MONEY):
            db.execute(statement)


def start_from_ledger(target: Path, source: Path, count: int) -> None:
    """Give a new shard the answers of an earlier build, and 1/count of what it had spent.

    Raise UsageError while the earlier build waits for batch jobs: a shard would pay for them anew.
    """
    with _attached(target, source) as db:
        if db.execute("SELECT 1 FROM source.jobs WHERE state = 'open'").fetchone():
            raise UsageError(
                f"{str(source)!r} waits for batch jobs: build it without --shard until they are "
                "collected, or end them with `brickfilm cancel`"
            )
        for statement in _BOTH:
            db.execute(statement)
        db.execute(_SHARE, {"count": float(count), "now": time.time()})


@contextmanager
def _attached(target: Path, source: Path) -> Iterator[sqlite3.Connection]:
    """Open the target's ledger in a transaction, with the other one as the schema `source`."""
    connect(source / FILENAME).close()  # upgrades an older one, so that all columns are there
    target.mkdir(parents=True, exist_ok=True)
    with damage_errors(target / FILENAME), closing(connect(target / FILENAME)) as db:
        db.execute("ATTACH ? AS source", (str(source / FILENAME),))
        with transaction(db, target):
            yield db
