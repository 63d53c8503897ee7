"""Videos that share near-duplicates are in one split, and stay in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from brickfilm.dataset.rows import DatasetRow, video_id_of
from brickfilm.dataset.splits import assign_splits


def row(video: str) -> DatasetRow:
    return {"id": f"{video}-000000-000020", "near_duplicate_group": ""}


videos = st.lists(st.text("abcdef0123456789", min_size=16, max_size=16), min_size=1, unique=True)


@given(videos, st.floats(0, 0.99), st.data())
def test_no_video_leaks_and_train_always_exists(
    names: list[str], test_fraction: float, data: st.DataObject
) -> None:
    rows = [row(video) for video in names]
    for r in rows:
        other = data.draw(st.sampled_from(rows))
        r["near_duplicate_group"] = min(r["id"], other["id"])
    split = assign_splits(rows, {}, test_fraction)
    assert "train" in split.split_by_video.values()
    assert set(split.split_by_video) == set(names)
    for r in rows:
        assert (
            split.split_by_video[video_id_of(r["id"])]
            == split.split_by_video[video_id_of(r["near_duplicate_group"])]
        )


@given(videos, videos)
def test_videos_keep_their_split_when_others_come(old: list[str], new: list[str]) -> None:
    before = assign_splits([row(f) for f in old], {}, 0.3)
    together = [row(f) for f in sorted({*old, *new})]
    after = assign_splits(together, before.history, 0.3)
    kept = {f: s for f, s in after.split_by_video.items() if f in before.split_by_video}
    assert set(after.moved_videos) == {f for f in old if kept[f] != before.split_by_video[f]}
    assert len(after.moved_videos) <= 1  # only the one that had to be train when all were test


def test_a_video_that_must_move_is_named() -> None:
    names = [f"{n:016x}" for n in range(40)]
    alone = assign_splits([row(f) for f in names], {}, 0.5)
    tested = [f for f, s in alone.split_by_video.items() if s == "test"]
    trained = [f for f, s in alone.split_by_video.items() if s == "train"]
    rows = [row(f) for f in names]
    first, second = sorted((tested[0], trained[0]))
    for r in rows:
        if r["id"].startswith(second):
            r["near_duplicate_group"] = row(first)["id"]
    joined = assign_splits(rows, alone.history, 0.5)
    assert set(joined.moved_videos) == {second}


def test_a_group_is_split_by_its_oldest_video_not_by_the_least_id() -> None:
    names = [f"{n:016x}" for n in range(40)]
    split = assign_splits([row(f) for f in names], {}, 0.5).split_by_video
    tested = next(f for f in names if split[f] == "test")
    older = next(f for f in names if split[f] == "train" and f > tested)
    history = assign_splits([row(older)], {}, 0.5).history
    rows = [row(f) for f in names if f != older] + [row(older)]
    rows[-1]["near_duplicate_group"] = row(tested)["id"]
    joined = assign_splits(rows, history, 0.5)
    assert joined.split_by_video[older] == joined.split_by_video[tested] == "train"
    assert joined.moved_videos == {}
