"""Hold a dataset against its promises: everything decodes, nothing leaks, nothing is missing."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from brickfilm.dataset.reader import MEDIA_COLUMN, CorruptDatasetError, SavedDataset, SplitKey
from brickfilm.dataset.required_columns import COLUMNS, column_problems
from brickfilm.engine.workers import worker_pool
from brickfilm.errors import MediaError

if TYPE_CHECKING:
    import pandas as pd

MIN_BYTES_FOR_POOL = 32 << 20
"""Bytes of media from which on starting processes (seconds) is the shorter way."""
EXAMPLES_PER_PROBLEM = 5
"""Ids that the table shows of each complaint."""
FPS_TOLERANCE = 1e-6
"""Frames a second by which a float may miss its fraction."""
Problem = tuple[str, str]
"""(what is wrong, the id of the row)"""


@dataclass
class ValidationReport:
    """What was looked at, and every complaint with some ids."""

    rows: int = 0
    reference_rows: int = 0
    """Rows among them that have no media column: they are compared, not decoded."""
    seconds: float = 0.0
    problems: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        return not self.problems

    @property
    def rows_per_second(self) -> float:
        return self.rows / max(1e-9, self.seconds)

    def add(self, found: Sequence[Problem]) -> None:
        for what, row in found:
            self.problems[what] += 1
            shown = self.examples.setdefault(what, [])
            if len(shown) < EXAMPLES_PER_PROBLEM:
                shown.append(row)


@dataclass(frozen=True)
class RowGroupTask:
    """A row group of one split: what a worker checks in one go."""

    dataset: SavedDataset
    split_key: SplitKey
    path: str
    row_group: int
    bytes: int


def validate(dataset: SavedDataset, *, workers: int | None = None) -> ValidationReport:
    """Check every row of a dataset; `workers` processes decode (default: one for each CPU)."""
    begun = time.monotonic()
    report = ValidationReport()
    report.add(
        [(f"{config}: split {split} has no file", "") for config, split in dataset.missing_splits]
    )
    frames = {}
    for config in dataset.configs:
        wrong = list(dict.fromkeys(schema_problems(dataset, config)))
        report.add(wrong)
        if not wrong:  # what is not even a table of ours is not looked into
            frames[config] = dataset.to_pandas(config)
            if MEDIA_COLUMN[config] not in dataset.columns(config):
                report.reference_rows += len(frames[config])
    report.add(list(table_problems(frames)))
    if len(frames) == len(dataset.configs) and not any(len(rows) for rows in frames.values()):
        report.add([("no row: nothing came through, or all was removed", "")])
    report.rows = report.reference_rows
    batches = list(_row_group_tasks(dataset, frames))
    for rows, problems in _check_row_groups(batches, workers or len(os.sched_getaffinity(0))):
        report.rows += rows
        report.add(problems)
    report.seconds = time.monotonic() - begun
    return report


def schema_problems(dataset: SavedDataset, config: str) -> Iterator[Problem]:
    """Files of a config that cannot be read, columns that are missing or of another type."""
    for path in (path for split in dataset.splits(config) for path in dataset.files[config, split]):
        try:
            with dataset.open_parquet(path) as file:
                wrong = list(column_problems(file.schema_arrow, config))
        except CorruptDatasetError:
            wrong = [f"{path} cannot be read"]
        yield from ((f"{config}: {what}", "") for what in wrong)


def table_problems(frames: Mapping[str, pd.DataFrame]) -> Iterator[Problem]:
    """What can be said without looking at media: ids, captions, spans, leaks between splits."""
    for config, rows in frames.items():
        for name in (name for name in COLUMNS[config] if name in rows):
            yield from _problem_for_each(f"{config}: no value in {name!r}", rows[rows[name].isna()])
        twice = rows.id.duplicated() & rows.id.notna()
        yield from _problem_for_each(f"{config}: id appears twice", rows[twice])
        empty = (rows.caption.fillna("") == "") & (rows.caption_status == "described")
        yield from _problem_for_each(f"{config}: empty caption", rows[empty])
        yield from _problem_for_each(
            f"{config}: wrong aspect_ratio or resolution", rows[_has_wrong_size_columns(rows)]
        )
    if "clips" in frames:
        clips = frames["clips"]
        yield from _split_leaks(clips)
        rate = clips.fps_num / clips.fps_den.where(clips.fps_den != 0)
        unlike = (clips.fps - rate).abs() > FPS_TOLERANCE
        unlike |= rate.isna() & clips.fps_num.notna() & clips.fps_den.notna()
        yield from _problem_for_each("clips: fps is not fps_num / fps_den", clips[unlike])
        decode_stats = clips.end_frame - clips.start_frame != clips.num_frames
        yield from _problem_for_each(
            "clips: num_frames is not end_frame - start_frame", clips[decode_stats]
        )
    if set(frames) >= {"clips", "images"}:
        images = frames["images"]
        where = dict(zip(frames["clips"].id, frames["clips"].split, strict=True))
        apart = images[
            [where.get(c, s) != s for c, s in zip(images.clip_id, images.split, strict=True)]
        ]
        yield from _problem_for_each("images: in another split than its clip", apart)


def _split_leaks(clips: pd.DataFrame) -> Iterator[Problem]:
    """Films, and groups of clips that look alike, belong to one split."""
    film = clips.id.str.split("-").str[0]
    group = clips.near_duplicate_group.where(clips.near_duplicate_group.fillna("") != "", clips.id)
    for what, key in (("film", film), ("near-duplicate group", group)):
        splits = clips.groupby(key).split.nunique()
        for name in splits[splits > 1].index:
            yield f"clips: {what} in more than one split", str(name)


def _has_wrong_size_columns(rows: pd.DataFrame) -> pd.Series[bool]:
    ratio = (rows.aspect_ratio - rows.height / rows.width).abs() > 1e-6
    return ratio | (rows.resolution != rows.height * rows.width)


def _problem_for_each(what: str, rows: pd.DataFrame) -> Iterator[Problem]:
    yield from ((what, str(row)) for row in rows.id)


def _row_group_tasks(dataset: SavedDataset, configs: Container[str]) -> Iterator[RowGroupTask]:
    """Every row group with media of these configs; references have nothing to decode."""
    for place, paths in dataset.files.items():
        if place[0] not in configs:
            continue
        for path in paths:
            with dataset.open_parquet(path) as file:
                if MEDIA_COLUMN[place[0]] not in file.schema_arrow.names:
                    continue
                for n in range(file.num_row_groups):
                    size = file.metadata.row_group(n).total_byte_size
                    yield RowGroupTask(dataset, place, path, n, size)


def _check_row_groups(
    batches: Sequence[RowGroupTask], workers: int
) -> Iterator[tuple[int, list[Problem]]]:
    """Rows and complaints of each batch, decoded in worker processes where that is worth it."""
    if workers == 1 or sum(batch.bytes for batch in batches) < MIN_BYTES_FOR_POOL:
        yield from map(check_row_group, batches)
        return
    with worker_pool(min(workers, len(batches))) as pool:
        yield from pool.map(check_row_group, batches)


def check_row_group(batch: RowGroupTask) -> tuple[int, list[Problem]]:
    """Decode the media of one row group and compare them with their rows."""
    config = batch.split_key[0]
    check = _clip_problems if config == "clips" else _image_problems
    with batch.dataset.open_parquet(batch.path) as file:
        rows = file.read_row_group(batch.row_group).to_pylist()
    whole = (row for row in rows if _is_complete(config, row))
    found = [(f"{config}: {what}", str(row["id"])) for row in whole for what in check(batch, row)]
    return len(rows), found


def _clip_problems(batch: RowGroupTask, row: Mapping[str, Any]) -> Iterator[str]:
    """Bytes as promised; frames, size and rate as the row says."""
    from brickfilm.media.decode_stats import decode_stats

    content = _read_media(batch, row["video"])
    if content is None:
        yield "no video"
        return
    if _sha256(content) != row["sha256"]:
        yield "bytes differ from sha256"
    try:
        seen = decode_stats(content)
    except MediaError:
        yield "video does not decode"
        return
    if seen.frames != row["num_frames"]:
        yield "another number of frames than num_frames"
    if (seen.width, seen.height) != (row["width"], row["height"]):
        yield "another size than width x height"
    told = Fraction(row["fps_num"], row["fps_den"])
    if abs(seen.seconds - row["num_frames"] / told) > 1 / told:
        yield "another duration than num_frames / fps"


def _image_problems(batch: RowGroupTask, row: Mapping[str, Any]) -> Iterator[str]:
    from PIL import Image, UnidentifiedImageError

    content = _read_media(batch, row["image"])
    if content is None:
        yield "no image"
        return
    if _sha256(content) != row["sha256"]:
        yield "bytes differ from sha256"
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            size = picture.size
    except (UnidentifiedImageError, OSError):
        yield "image does not decode"
        return
    if size != (row["width"], row["height"]):
        yield "another size than width x height"


def _is_complete(config: str, row: Mapping[str, Any]) -> bool:
    """Whether a row has every value to compare its media with; what lacks one is named already."""
    told = (row[name] for name in COLUMNS[config] if name != MEDIA_COLUMN[config])
    return all(value is not None for value in told) and row.get("fps_den") != 0


def _read_media(batch: RowGroupTask, cell: Mapping[str, Any] | None) -> bytes | None:
    try:
        return batch.dataset.read_media(cell)
    except FileNotFoundError:
        return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
