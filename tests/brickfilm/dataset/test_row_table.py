"""Rows come out of a table as they went in, few columns or few rows at a time."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from brickfilm.dataset import row_table, table_writer
from brickfilm.dataset.row_sorter import RowSorter
from brickfilm.dataset.row_table import RowTable, batch_rows
from brickfilm.dataset.rows import DatasetRow


def rows(count: int) -> list[DatasetRow]:
    """Return rows of which every other one has a score and one in three a detector."""
    return [
        {
            "id": f"{n:03}",
            "video": f"clips/{n}.mp4",
            "caption": "",
            "num_frames": n,
            "source_id": "a.mp4",
            "frame_hashes": [str(n)] * (n % 3),
            "near_duplicate_group": "",
            **({"shot_detector": "Shots"} if n % 3 == 0 else {}),
            **({"score_odd": (0.1 * n, float("inf"))[n % 4 == 1]} if n % 2 else {}),
        }
        for n in range(count)
    ]


@pytest.fixture(params=["memory", "file"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "file":
        monkeypatch.setattr(table_writer, "MEMORY_ROWS", 5)
        monkeypatch.setattr(table_writer, "BATCH_ROWS", 4)
        monkeypatch.setattr(row_table, "BATCH_ROWS", 3)
    return tmp_path


def test_rows_are_equal_to_those_that_were_added(folder: Path) -> None:
    made = RowSorter(folder, reversed(rows(11))).table("clips")
    assert list(made) == rows(11)
    assert [list(row) for row in made] == [list(row) for row in rows(11)]
    assert made[4] == rows(11)[4]
    assert made[-9:8:2] == rows(11)[-9:8:2]
    assert list(made.at([0, 2, 3, 10])) == [rows(11)[n] for n in (0, 2, 3, 10)]
    assert list(made.at([3, 8], "num_frames", "id")) == [
        {"num_frames": n, "id": f"{n:03}"} for n in (3, 8)
    ]
    assert len(made) == 11


def test_few_columns_are_read_of_all_rows(folder: Path) -> None:
    made = RowSorter(folder, rows(7)).table("clips")
    names = ("score_odd", "id", "score_unknown")
    expected = [{name: row[name] for name in names if name in row} for row in rows(7)]
    assert list(made.select(*names)) == expected
    assert list(made.column("num_frames")) == list(range(7))
    assert made.numbers("score_odd").tolist() == [float("inf"), 0.1 * 3, float("inf")]


def test_columns_keep_their_place_or_come_last(folder: Path) -> None:
    made = RowSorter(folder, rows(7)).table("clips")
    groups = [f"group {n}" for n in range(7)]
    more = made.with_columns(near_duplicate_group=groups, score_zeros=[0.0] * 7)
    assert more.names == [*made.names, "score_zeros"]
    assert list(more.column("near_duplicate_group")) == groups
    assert set(made.column("near_duplicate_group")) == {""}


def test_a_column_of_no_row_that_is_left_is_left_out(folder: Path) -> None:
    made = RowSorter(folder, rows(11)).table("clips")
    kept = made.filtered([n % 2 == 0 for n in range(11)])
    assert list(kept) == rows(11)[::2]
    assert set(made.names) - set(kept.names) == {"score_odd"}


def test_the_file_of_a_large_table_goes_with_it(folder: Path) -> None:
    made = RowTable.of("clips", rows(11), {"id", "video"}, folder)
    is_file = table_writer.MEMORY_ROWS < 11
    assert len(list(folder.glob(".rows-*.tmp/rows.arrow"))) == is_file
    more = made.with_columns(score_zeros=[0.0] * 11)
    del made
    assert len(list(folder.glob(".rows-*"))) == is_file
    assert [row["id"] for row in more] == [row["id"] for row in rows(11)]
    del more
    assert not list(folder.glob(".rows-*"))


def test_rows_of_a_batch_are_those_of_arrow() -> None:
    columns = {
        "id": ["a", "b"],
        "big": [2**53 + 1, -1],
        "score": [0.1, float("inf")],
        "missing": [None, 1.5],
        "frames": [[1, 2], []],
    }
    batch = pa.RecordBatch.from_pydict(columns)
    assert repr(batch_rows(batch)) == repr(batch.to_pylist())
    assert batch_rows(batch.select([])) == [{}, {}]
    assert batch_rows(batch.slice(0, 0)) == []
