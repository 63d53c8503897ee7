"""One clip of each group stays, the best or the first, and what goes is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from brickfilm.dataset.duplicates import dropped_duplicates, without_clips
from brickfilm.dataset.row_table import RowTable
from brickfilm.dataset.rows import DatasetRow


def row(id: str, group: str = "a", **more: Any) -> DatasetRow:
    plain = {"resolution": 100, "caption": "a wall", "num_frames": 20, "score_sharpness": 0.5}
    return {"id": id, "near_duplicate_group": group, **plain, **more}


def table(config: str, rows: list[DatasetRow]) -> RowTable:
    return RowTable.of(config, rows, {name for row in rows for name in row}, Path())


@pytest.mark.parametrize(
    "better",
    [
        {"resolution": 200, "score_aesthetic": 1.0},
        {"score_aesthetic": 5.5},
        {"score_sharpness": 0.6},
        {"num_frames": 21},
    ],
)
def test_the_best_of_a_group_stays(better: dict[str, Any]) -> None:
    rows = [
        row("a", score_aesthetic=5.0),
        row("b", **{"score_aesthetic": 5.0, **better}),
        row("c", "c"),
    ]
    assert dropped_duplicates(table("clips", rows), "keep-best") == {"a": "b"}
    assert dropped_duplicates(table("clips", rows), "keep-one") == {"b": "a"}
    assert dropped_duplicates(table("clips", rows), "mark") == {}


def test_a_caption_counts_more_than_sharpness_and_equals_keep_the_least_id() -> None:
    rows = [row("a", caption="", score_sharpness=0.9), row("c"), row("b")]
    assert dropped_duplicates(table("clips", rows), "keep-best") == {"a": "b", "c": "b"}


def test_images_go_with_their_clips_and_no_group_is_left() -> None:
    clips = [row("a"), row("b"), row("c", "c")]
    images = [{"id": f"{id}-f0", "clip_id": id} for id in "abcd"]
    dropped = {"a": "b"}
    kept = list(without_clips(table("clips", clips), dropped))
    assert [(r["id"], r["near_duplicate_group"]) for r in kept] == [("b", "b"), ("c", "c")]
    assert [image["clip_id"] for image in without_clips(table("images", images), dropped)] == [
        "b",
        "c",
        "d",
    ]
