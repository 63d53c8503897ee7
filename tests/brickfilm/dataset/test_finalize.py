"""Grouping, marking and splitting, over tables of a few columns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from brickfilm.dataset import finalize as door

HEX = [f"{0x0F0F0F0F0F0F0F0F ^ (n * 0x0123456789ABCDEF) & (2**64 - 1):016x}" for n in range(9)]


def row(film: str, start: int, hashes: tuple[str, ...] = (), **more: object) -> door.DatasetRow:
    clip = f"{film}-{start:06d}-{start + 20:06d}"
    return {
        "id": clip,
        "source_id": f"{film}.mp4",
        "caption": clip,
        "frame_hashes": list(hashes),
        "near_duplicate_group": "",
        **more,
    }


def flipped(digits: str, bits: int) -> str:
    return f"{int(digits, 16) ^ (2**bits - 1):016x}"


def test_one_place_is_one_row_and_the_least_name_wins() -> None:
    rows = [row("f", 0, source_id=name) for name in ("b.mp4", "a.mp4", "c.mp4")]
    assert [r["source_id"] for r in door.dedupe_by_id(rows)] == ["a.mp4"]


def test_rows_are_sorted_by_place() -> None:
    rows = [row("g", 0), row("f", 200), row("f", 30)]
    assert [r["id"][:8] for r in door.dedupe_by_id(rows)] == ["f-000030", "f-000200", "g-000000"]


def test_clips_that_look_alike_share_a_group() -> None:
    rows = [
        row("f", 0, (HEX[1], HEX[2], HEX[3])),
        row("g", 0, (flipped(HEX[1], 5), HEX[2], flipped(HEX[3], 2))),
        row("h", 0, (HEX[1], HEX[2], HEX[4])),
    ]
    door.group_near_duplicates(rows)
    groups = [r["near_duplicate_group"] for r in rows]
    assert groups == [rows[0]["id"], rows[0]["id"], rows[2]["id"]]


def test_black_frames_are_no_evidence() -> None:
    rows = [row(film, 0, ("0" * 16,) * 3) for film in "fgh"]
    door.group_near_duplicates(rows)
    assert len({r["near_duplicate_group"] for r in rows}) == 3


def test_repeated_captions_are_marked_not_dropped() -> None:
    rows = [row("f", n, caption="a red wall") for n in (0, 30, 60)] + [row("g", 0)]
    door.mark_repeated_captions(rows)
    assert [r["score_caption_repeats"] for r in rows] == [2, 2, 2, 0]


def test_rows_without_a_caption_repeat_nothing() -> None:
    rows = [row("f", n, caption="") for n in (0, 30)]
    door.mark_repeated_captions(rows)
    assert [r["score_caption_repeats"] for r in rows] == [0, 0]


films = st.lists(st.text("abcdef0123456789", min_size=16, max_size=16), min_size=1, unique=True)


@given(films, st.floats(0, 0.99), st.data())
def test_no_film_leaks_and_train_always_exists(
    names: list[str], test_fraction: float, data: st.DataObject
) -> None:
    rows = [row(film, 0) for film in names]
    for r in rows:
        other = data.draw(st.sampled_from(rows))
        r["near_duplicate_group"] = min(r["id"], other["id"])
    split = door.assign_splits(rows, {}, test_fraction)
    assert "train" in split.split_by_video.values()
    assert set(split.split_by_video) == set(names)
    for r in rows:
        assert (
            split.split_by_video[door.video_id_of(r["id"])]
            == split.split_by_video[door.video_id_of(r["near_duplicate_group"])]
        )


@given(films, films)
def test_films_keep_their_split_when_others_come(old: list[str], new: list[str]) -> None:
    before = door.assign_splits([row(f, 0) for f in old], {}, 0.3)
    together = [row(f, 0) for f in sorted({*old, *new})]
    after = door.assign_splits(together, before.history, 0.3)
    kept = {f: s for f, s in after.split_by_video.items() if f in before.split_by_video}
    assert set(after.moved_videos) == {f for f in old if kept[f] != before.split_by_video[f]}
    assert len(after.moved_videos) <= 1  # only the one that had to be train when all were test


def test_a_film_that_must_move_is_named() -> None:
    names = [f"{n:016x}" for n in range(40)]
    alone = door.assign_splits([row(f, 0) for f in names], {}, 0.5)
    tested = [f for f, s in alone.split_by_video.items() if s == "test"]
    trained = [f for f, s in alone.split_by_video.items() if s == "train"]
    rows = [row(f, 0) for f in names]
    first, second = sorted((tested[0], trained[0]))
    for r in rows:
        if r["id"].startswith(second):
            r["near_duplicate_group"] = row(first, 0)["id"]
    joined = door.assign_splits(rows, alone.history, 0.5)
    assert set(joined.moved_videos) == {second}
