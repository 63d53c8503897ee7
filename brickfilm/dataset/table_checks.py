"""Checks of a dataset's tables that need no media: columns, ids, captions, spans and splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from brickfilm.dataset.reader import CorruptDatasetError, SavedDataset
from brickfilm.dataset.required_columns import column_problems
from brickfilm.schema.columns import COLUMN_FORMS, COLUMN_TYPES

if TYPE_CHECKING:
    import pandas as pd

FPS_TOLERANCE = 1e-6
"""Frames per second by which a float may differ from its fraction."""
Problem = tuple[str, str]
"""(kind of problem, id of the row; empty if it concerns a whole file)"""


def schema_problems(dataset: SavedDataset, config: str) -> Iterator[Problem]:
    """Yield files that cannot be read, and columns that are missing or of another type."""
    for path in (path for split in dataset.splits(config) for path in dataset.files[config, split]):
        try:
            with dataset.open_parquet(path) as file:
                problems = list(column_problems(file.schema_arrow, config))
        except CorruptDatasetError:
            problems = [f"{path} cannot be read"]
        yield from ((f"{config}: {problem}", "") for problem in problems)


def table_problems(tables: Mapping[str, pd.DataFrame]) -> Iterator[Problem]:
    """Yield the problems of all rows, given as one table per config with a column `split`."""
    for config, rows in tables.items():
        yield from _row_problems(config, rows)
    if "clips" in tables:
        yield from _split_leaks(tables["clips"])
        yield from _clip_problems(tables["clips"])
    if set(tables) >= {"clips", "images"}:
        yield from _image_problems(tables["clips"], tables["images"])


def _row_problems(config: str, rows: pd.DataFrame) -> Iterator[Problem]:
    """Check what both configs have: values, ids, captions and sizes."""
    for name in (name for name in COLUMN_TYPES[config] if name in rows):
        yield from _for_each(f"{config}: no value in {name!r}", rows[rows[name].isna()])
    for name, form in COLUMN_FORMS[config].items():
        is_odd = ~rows[name].fillna("").str.fullmatch(form) & rows[name].notna()
        yield from _for_each(f"{config}: {name} is not of brickfilm's form", rows[is_odd])
    duplicate = rows.id.duplicated() & rows.id.notna()
    yield from _for_each(f"{config}: id appears twice", rows[duplicate])
    empty = (rows.caption.fillna("") == "") & (rows.caption_status == "described")
    yield from _for_each(f"{config}: empty caption", rows[empty])
    wrong_size = (rows.aspect_ratio - rows.height / rows.width).abs() > 1e-6
    wrong_size |= rows.resolution != rows.height * rows.width
    yield from _for_each(f"{config}: wrong aspect_ratio or resolution", rows[wrong_size])


def _split_leaks(clips: pd.DataFrame) -> Iterator[Problem]:
    """Check that each video, and each group of near-duplicates, is in one split."""
    video = clips.id.str.split("-").str[0]
    group = clips.near_duplicate_group.where(clips.near_duplicate_group.fillna("") != "", clips.id)
    for kind, key in (("video", video), ("near-duplicate group", group)):
        splits = clips.groupby(key).split.nunique()
        for name in splits[splits > 1].index:
            yield f"clips: {kind} in more than one split", str(name)


def _clip_problems(clips: pd.DataFrame) -> Iterator[Problem]:
    rate = clips.fps_num / clips.fps_den.where(clips.fps_den != 0)
    wrong_fps = (clips.fps - rate).abs() > FPS_TOLERANCE
    wrong_fps |= rate.isna() & clips.fps_num.notna() & clips.fps_den.notna()
    yield from _for_each("clips: fps is not fps_num / fps_den", clips[wrong_fps])
    wrong_span = clips.end_frame - clips.start_frame != clips.num_frames
    yield from _for_each("clips: num_frames is not end_frame - start_frame", clips[wrong_span])


def _image_problems(clips: pd.DataFrame, images: pd.DataFrame) -> Iterator[Problem]:
    split_of_clip = images.clip_id.map(dict(zip(clips.id, clips.split, strict=True)))
    elsewhere = split_of_clip.notna() & (split_of_clip != images.split)
    yield from _for_each("images: in another split than its clip", images[elsewhere])


def _for_each(kind: str, rows: pd.DataFrame) -> Iterator[Problem]:
    yield from ((kind, str(row_id)) for row_id in rows.id)
