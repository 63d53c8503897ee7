"""Checks that decode media: bytes, frames, sizes and durations against the columns."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from brickfilm.dataset.data_files import SplitKey
from brickfilm.dataset.reader import SavedDataset
from brickfilm.dataset.table_checks import Problem
from brickfilm.errors import MediaError
from brickfilm.schema.columns import COLUMN_TYPES, MEDIA_COLUMN
from brickfilm.schema.pictures import open_picture
from brickfilm.schema.safe_paths import UnsafePathError

MediaCheck = Callable[[bytes | None, Mapping[str, Any]], Iterator[str]]
"""Yields what is wrong with the media of a row."""


@dataclass(frozen=True)
class RowGroupTask:
    """One row group, which a worker checks in one call."""

    dataset: SavedDataset
    split_key: SplitKey
    path: str
    row_group: int
    bytes: int


def row_group_tasks(dataset: SavedDataset, configs: Container[str]) -> Iterator[RowGroupTask]:
    """Yield a task for each row group of these configs that has a media column."""
    for split_key, paths in dataset.files.items():
        if split_key[0] not in configs:
            continue
        for path in paths:
            with dataset.open_parquet(path) as file:
                if MEDIA_COLUMN[split_key[0]] not in file.schema_arrow.names:
                    continue
                for n in range(file.num_row_groups):
                    size = file.metadata.row_group(n).total_byte_size
                    yield RowGroupTask(dataset, split_key, path, n, size)


def check_row_group(task: RowGroupTask) -> tuple[int, list[Problem]]:
    """Decode the media of a row group; return its number of rows, and the problems."""
    config = task.split_key[0]
    check = _clip_problems if config == "clips" else _image_problems
    with task.dataset.open_parquet(task.path) as file:
        rows = file.read_row_group(task.row_group).to_pylist()
    problems = [
        (f"{config}: {problem}", str(row["id"]))
        for row in rows
        if _is_complete(config, row)
        for problem in _row_problems(task, row, check)
    ]
    return len(rows), problems


def _row_problems(task: RowGroupTask, row: Mapping[str, Any], check: MediaCheck) -> Iterator[str]:
    try:
        content = task.dataset.read_media(row[MEDIA_COLUMN[task.split_key[0]]])
    except FileNotFoundError:
        content = None
    except UnsafePathError:
        yield "media outside the dataset"
        return
    yield from check(content, row)


def _clip_problems(content: bytes | None, row: Mapping[str, Any]) -> Iterator[str]:
    from brickfilm.media.decode_stats import decode_stats

    if content is None:
        yield "no video"
        return
    if _sha256(content) != row["sha256"]:
        yield "bytes differ from sha256"
    try:
        stats = decode_stats(content)
    except MediaError:
        yield "video does not decode"
        return
    if stats.frames != row["num_frames"]:
        yield "another number of frames than num_frames"
    if (stats.width, stats.height) != (row["width"], row["height"]):
        yield "another size than width x height"
    fps = Fraction(row["fps_num"], row["fps_den"])
    if abs(stats.seconds - row["num_frames"] / fps) > 1 / fps:
        yield "another duration than num_frames / fps"


def _image_problems(content: bytes | None, row: Mapping[str, Any]) -> Iterator[str]:
    if content is None:
        yield "no image"
        return
    if _sha256(content) != row["sha256"]:
        yield "bytes differ from sha256"
    try:
        with open_picture(io.BytesIO(content)) as picture:
            picture.load()
            size = picture.size
    except (OSError, ValueError, SyntaxError):  # as Pillow's readers raise
        yield "image does not decode"
        return
    if size != (row["width"], row["height"]):
        yield "another size than width x height"


def _is_complete(config: str, row: Mapping[str, Any]) -> bool:
    """Return False if a value is missing, which `table_problems` reports."""
    values = (row[name] for name in COLUMN_TYPES[config] if name != MEDIA_COLUMN[config])
    return all(value is not None for value in values) and row.get("fps_den") != 0


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
