"""Results and records that a pass repeats stay in place; all others are written again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from brickfilm.engine.ledger import (
    ItemResult,
    Ledger,
    StoredRecord,
    ledger_frame,
    read_records,
    record_digest,
    result_digest,
)
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.records import Clip, Image, Still
from tests.kit.toy_stages import clip, video

CLIPS = [clip(video("a.mp4"), n, n + 24, scores={"motion": n / 7}) for n in (0, 24, 48)]
RESULTS = [
    ItemResult(position=0, stage="Cut", kind="clip", item=c.id, source_id="a.mp4", status="done")
    for c in CLIPS
]


class Read(Exception):
    """Something is read to be written."""


def unreadable() -> Iterator[object]:
    raise Read
    yield


def save(folder: Path, clips: Sequence[Clip], results: Iterable[ItemResult] = RESULTS) -> None:
    """Save as a pass does; raise Read if it is written again."""
    results = list(results)
    sums = sum(map(result_digest, results)), sum(map(record_digest, clips))
    with Ledger(folder) as ledger:
        try:
            ledger.save_results(
                unreadable(), unreadable(), results_digest=sums[0], records_digest=sums[1]
            )
        except Read:
            ledger.save_results(results, clips, results_digest=sums[0], records_digest=sums[1])
            raise


def test_what_a_pass_repeats_is_not_read_again(tmp_path: Path) -> None:
    with pytest.raises(Read):
        save(tmp_path, CLIPS)
    save(tmp_path, CLIPS[::-1], RESULTS[::-1])  # calls end in any order
    assert list(read_records(tmp_path)) == [c.id for c in CLIPS]
    assert set(ledger_frame(tmp_path)["item"]) == {c.id for c in CLIPS}


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM records WHERE rowid = 1",
        "UPDATE records SET facts = 'damaged' WHERE rowid = 2",
        "UPDATE records SET facts = CAST(x'ff' AS TEXT) WHERE rowid = 2",
        "UPDATE results SET message = 'other' WHERE rowid = 1",
        "UPDATE result_labels SET outcome = 'failed'",
        "DELETE FROM result_items WHERE rowid = 3",
        "DELETE FROM last_pass",
    ],
)
def test_rows_that_changed_are_written_again(tmp_path: Path, change: str) -> None:
    with pytest.raises(Read):
        save(tmp_path, CLIPS)
    with closing(sqlite3.connect(tmp_path / FILENAME)) as db, db:
        db.execute(change)
    with pytest.raises(Read):
        save(tmp_path, CLIPS)
    assert read_records(tmp_path) == {c.id: StoredRecord.of(c) for c in CLIPS}
    assert set(ledger_frame(tmp_path)["outcome"]) == {"done"}


def test_another_pass_is_written(tmp_path: Path) -> None:
    with pytest.raises(Read):
        save(tmp_path, CLIPS)
    with pytest.raises(Read):
        save(tmp_path, CLIPS, [replace(RESULTS[0], message="other"), *RESULTS[1:]])
    with pytest.raises(Read):
        save(tmp_path, [*CLIPS[:2], CLIPS[2].with_scores(motion=0.5)])
    assert read_records(tmp_path)[CLIPS[2].id].scores == {"motion": 0.5}
    with Ledger(tmp_path) as ledger:
        ledger.save_results([])  # of unknown digest: it is written, and so is the next one
    with pytest.raises(Read):
        save(tmp_path, CLIPS)


def test_whatever_is_stored_of_a_record_changes_its_digest() -> None:
    film, one = CLIPS[0].video, CLIPS[0]
    still = Still(frame=5, at=0.5, path=Path("stills/a.jpg"), sha256="")
    image = Image(clip=one, frame=11, path=Path("a.jpg"), sha256="", width=64, height=36)
    changed = [
        one,
        *(replace(one, video=replace(film, **{name: "b"})) for name in ("sha256", "source_id")),
        replace(one, video=replace(film, title="b")),
        replace(one, video=replace(film, width=48)),
        replace(one, video=replace(film, height=48)),
        replace(one, video=replace(film, time_base=Fraction(1, 25))),
        *(
            replace(one, span=replace(one.span, **{name: 7}))
            for name in ("start_frame", "end_frame", "start_pts", "end_pts")
        ),
        replace(one, path=Path("clips/a.mp4")),
        replace(one, width=32),
        replace(one, height=32),
        replace(one, stills=(still,)),
        replace(one, stills=(replace(still, path=Path("stills/b.jpg")),)),
        one.with_scores(motion=0.25),
        replace(one, scores={"other": 0.0}),
        image,
        replace(image, frame=12),
        replace(image, path=Path("b.jpg")),
        replace(image, width=32),
        replace(image, height=32),
    ]
    stored = {repr(StoredRecord.of(record)) for record in changed}
    assert len(stored) == len({record_digest(record) for record in changed}) == len(changed)
    assert record_digest(film) == 0
