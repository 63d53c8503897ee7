"""The final pass sorts, groups and marks rows, here of a few columns."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from brickfilm.dataset import finalize
from brickfilm.dataset.finalize import (
    count_repeated_captions,
    dedupe_by_id,
    group_near_duplicates,
    with_columns,
)
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


def flipped(digits: str, bits: int) -> str:
    return f"{int(digits, 16) ^ (2**bits - 1):016x}"


def test_an_id_has_one_row_and_the_least_source_id_wins(tmp_path: Path) -> None:
    rows = [row("f", 0, source_id=name) for name in ("b.mp4", "a.mp4", "c.mp4")]
    assert [r["source_id"] for r in dedupe_by_id(rows, tmp_path)] == ["a.mp4"]


def test_rows_are_sorted_by_id(tmp_path: Path) -> None:
    rows = [row("g", 0), row("f", 200), row("f", 30)]
    ids = [r["id"][:8] for r in dedupe_by_id(rows, tmp_path)]
    assert ids == ["f-000030", "f-000200", "g-000000"]


@pytest.mark.parametrize("count", [0, 9, 10, 11, 45])
def test_rows_from_files_are_merged_as_those_in_memory(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [n // 2 for n in range(count)]
    random.Random(1).shuffle(numbers)
    rows = [row("f", n, source_id=f"{7 * at % 5}.mp4") for at, n in enumerate(numbers)]
    in_memory = list(dedupe_by_id(rows, tmp_path))
    assert len(in_memory) == len(set(numbers))
    monkeypatch.setattr(finalize, "SORTED_ROWS", 10)
    monkeypatch.setattr(finalize, "MERGED_ROWS", 3)
    assert list(dedupe_by_id(rows, tmp_path)) == in_memory


def test_clips_that_look_alike_share_a_group() -> None:
    rows = [
        row("f", 0, (HEX[1], HEX[2], HEX[3])),
        row("g", 0, (flipped(HEX[1], 5), HEX[2], flipped(HEX[3], 2))),
        row("h", 0, (HEX[1], HEX[2], HEX[4])),
    ]
    groups = group_near_duplicates(rows)
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
    assert group_near_duplicates(rows, vectors) == [ids[0], ids[0], ids[0], ids[3]]


def test_black_frames_match_nothing() -> None:
    rows = [row(video, 0, ("0" * 16,) * 3) for video in "fgh"]
    assert len(set(group_near_duplicates(rows))) == 3


def test_repeated_captions_are_counted_not_dropped() -> None:
    rows = [row("f", n, caption="a red wall") for n in (0, 30, 60)] + [row("g", 0)]
    assert count_repeated_captions(rows) == [2, 2, 2, 0]


def test_columns_keep_their_place_or_come_last() -> None:
    rows = [row("f", 0), row("g", 0)]
    made = list(with_columns(rows, near_duplicate_group=["a", "b"], score_x=[1.0, 2.0]))
    assert list(made[0]) == [*rows[0], "score_x"]
    assert [(r["near_duplicate_group"], r["score_x"]) for r in made] == [("a", 1.0), ("b", 2.0)]
    assert rows[0]["near_duplicate_group"] == ""


def test_rows_without_a_caption_repeat_nothing() -> None:
    rows = [row("f", n, caption="") for n in (0, 30)]
    assert count_repeated_captions(rows) == [0, 0]
    assert count_repeated_captions([]) == []
