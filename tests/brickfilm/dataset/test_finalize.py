"""The final pass sorts, groups and marks rows, here of a few columns."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from brickfilm.dataset import row_sorter
from brickfilm.dataset.finalize import count_repeated_captions, group_near_duplicates
from brickfilm.dataset.row_sorter import RowSorter
from brickfilm.dataset.row_table import RowTable
from brickfilm.dataset.rows import DatasetRow

HEX = [f"{0x0F0F0F0F0F0F0F0F ^ (n * 0x0123456789ABCDEF) & (2**64 - 1):016x}" for n in range(9)]


def row(video: str, start: int, hashes: tuple[str, ...] = (), **more: object) -> DatasetRow:
    clip = f"{video}-{start:06d}-{start + 20:06d}"
    return {
        "id": clip,
        "source_id": f"{video}.mp4",
        "caption": clip,
        "frame_hashes": list(hashes),
        "near_duplicate_group": "",
        **more,
    }


def table(rows: list[DatasetRow]) -> RowTable:
    return RowTable.of("clips", rows, {name for row in rows for name in row}, Path())


def flipped(digits: str, bits: int) -> str:
    return f"{int(digits, 16) ^ (2**bits - 1):016x}"


def test_an_id_has_one_row_and_the_least_source_id_wins(tmp_path: Path) -> None:
    rows = [row("f", 0, source_id=name) for name in ("b.mp4", "a.mp4", "c.mp4")]
    assert [r["source_id"] for r in RowSorter(tmp_path, rows)] == ["a.mp4"]


def test_rows_are_sorted_by_id(tmp_path: Path) -> None:
    rows = [row("g", 0), row("f", 200), row("f", 30)]
    ids = [r["id"][:8] for r in RowSorter(tmp_path, rows)]
    assert ids == ["f-000030", "f-000200", "g-000000"]


@pytest.mark.parametrize("count", [0, 9, 10, 11, 45])
def test_rows_from_files_are_merged_as_those_in_memory(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [n // 2 for n in range(count)]
    random.Random(1).shuffle(numbers)
    rows = [row("f", n, source_id=f"{7 * at % 5}.mp4") for at, n in enumerate(numbers)]
    in_memory = list(RowSorter(tmp_path, rows))
    assert len(in_memory) == len(set(numbers))
    monkeypatch.setattr(row_sorter, "SORTED_ROWS", 10)
    monkeypatch.setattr(row_sorter, "MERGED_ROWS", 3)
    assert list(RowSorter(tmp_path, rows)) == in_memory


def test_clips_that_look_alike_share_a_group() -> None:
    rows = [
        row("f", 0, (HEX[1], HEX[2], HEX[3])),
        row("g", 0, (flipped(HEX[1], 5), HEX[2], flipped(HEX[3], 2))),
        row("h", 0, (HEX[1], HEX[2], HEX[4])),
    ]
    groups = group_near_duplicates(table(rows))
    assert groups == [rows[0]["id"], rows[0]["id"], rows[2]["id"]]


def test_clips_of_one_meaning_join_the_groups_of_those_that_look_alike() -> None:
    rows = [
        row("f", 0, (HEX[1], HEX[2], HEX[3])),
        row("g", 0, (HEX[1], HEX[2], HEX[3])),
        row("h", 0, (HEX[4], HEX[5], HEX[6])),
        row("i", 0, (HEX[6], HEX[5], HEX[4])),
    ]
    ids = [r["id"] for r in rows]
    one, other = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    vectors = [(ids[1:], np.stack([one, one, other])), (ids[:1], np.stack([other]))]
    assert group_near_duplicates(table(rows), vectors) == [ids[0], ids[0], ids[0], ids[3]]


def test_black_frames_match_nothing() -> None:
    rows = [row(video, 0, ("0" * 16,) * 3) for video in "fgh"]
    assert len(set(group_near_duplicates(table(rows)))) == 3


def test_repeated_captions_are_counted_not_dropped() -> None:
    rows = [row("f", n, caption="a red wall") for n in (0, 30, 60)] + [row("g", 0)]
    assert count_repeated_captions(table(rows)) == [2, 2, 2, 0]


def test_rows_without_a_caption_repeat_nothing() -> None:
    rows = [row("f", n, caption="") for n in (0, 30)]
    assert count_repeated_captions(table(rows)) == [0, 0]
    assert count_repeated_captions(table([row("f", 0)]).filtered([False])) == []
