"""Compare clips and images that were cut again with the published rows; save those that match."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from brickfilm.dataset import configs_from_rows, save_configs
from brickfilm.dataset.near_duplicates import NEAR_DUPLICATE_BITS
from brickfilm.dataset.rows import DatasetRow, video_id_of
from brickfilm.errors import ItemError
from brickfilm.records import Clip, Image
from brickfilm.schema.columns import MEDIA_COLUMN
from brickfilm.schema.csv_cells import quoted_cell

MatchStatus = Literal["same bytes", "same pictures", "differs", "gone"]
CSV_COLUMNS = ("config", "id", "verdict", "note", "source_id", "source_url")
MATCHING: tuple[MatchStatus, ...] = ("same bytes", "same pictures")
CutClip = tuple[Clip, Image] | ItemError
"""A clip with its middle frame, or the error of cutting it."""


@dataclass(frozen=True)
class RowResult:
    """A published row and the result of cutting it again."""

    config: str
    row: DatasetRow
    status: MatchStatus
    note: str = ""
    record: Clip | Image | None = None
    """The new clip or image, if one was cut."""


def compare_clip(
    row: DatasetRow, image_row: DatasetRow | None, cut: CutClip
) -> Iterator[RowResult]:
    """Yield the result of a clip, and of its image if it has one."""
    if isinstance(cut, ItemError):
        yield RowResult("clips", row, "differs", str(cut))
        if image_row:
            yield RowResult("images", image_row, "differs", str(cut))
        return
    clip, image = cut
    status, note = _clip_status(row, clip)
    yield RowResult("clips", row, status, note, clip)
    if image_row:
        same_bytes = image.sha256 == image_row["sha256"]
        otherwise: MatchStatus = "same pictures" if status in MATCHING else "differs"
        yield RowResult("images", image_row, "same bytes" if same_bytes else otherwise, note, image)


def compare_lone_image(row: DatasetRow, cut: CutClip | None) -> RowResult:
    """Return the result of an image whose clip was not published: only its bytes can match.

    cut: None if its source is another copy, in which frame numbers mean nothing.
    """
    if cut is None:
        return RowResult("images", row, "differs", "another copy, and its clip was not published")
    if isinstance(cut, ItemError):
        return RowResult("images", row, "differs", str(cut))
    _, image = cut
    if image.sha256 == row["sha256"]:
        return RowResult("images", row, "same bytes", "", image)
    return RowResult("images", row, "differs", "other bytes, and its clip was not published")


def _clip_status(row: DatasetRow, clip: Clip) -> tuple[MatchStatus, str]:
    """Compare bytes, then the number of frames, then perceptual hashes; return status and note."""
    if clip.sha256 == row["sha256"]:
        return "same bytes", ""
    bits = max(
        (int(a, 16) ^ int(b, 16)).bit_count()
        for a, b in zip(row["frame_hashes"], clip.frame_hashes, strict=True)
    )
    if clip.span.frames != row["num_frames"]:
        return "differs", f"{clip.span.frames} frames, {row['num_frames']} were published"
    if bits > NEAR_DUPLICATE_BITS:
        return "differs", f"perceptual hashes differ in {bits} of 64 bits"
    return "same pictures", f"perceptual hashes differ in at most {bits} of 64 bits"


def save_matching_rows(results: Sequence[RowResult], out: Path) -> Path:
    """Save the rows that match as a dataset in `out`, and return its folder."""
    rows: dict[str, list[DatasetRow]] = {"clips": [], "images": []}
    splits: dict[str, str] = {}
    for result in results:
        if result.status in MATCHING and result.record is not None:
            rows[result.config].append(_updated_row(result))
            splits[video_id_of(result.row["id"])] = result.row["split"]
    configs = configs_from_rows(rows["clips"], rows["images"], splits, out)
    return save_configs(configs, out / "dataset")


def _updated_row(result: RowResult) -> DatasetRow:
    """Return the published row with its new media: the same place, perhaps other bytes."""
    record = result.record
    assert record is not None
    row = {k: v for k, v in result.row.items() if k not in ("split", "file")}
    for name in {"frame_hashes", "new_drawings"} & set(row):
        row[name] = list(row[name])
    return {
        **row,
        MEDIA_COLUMN[result.config]: str(record.path),
        "sha256": record.sha256,
        "width": record.width,
        "height": record.height,
        "aspect_ratio": record.height / record.width,
        "resolution": record.height * record.width,
    }


def write_table(results: Sequence[RowResult], path: Path) -> Path:
    """Write the status of every row as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(CSV_COLUMNS)
        for result in results:
            row = result.row
            source = (row["source_id"], row["source_url"])
            texts = (result.config, row["id"], result.status, result.note, *source)
            table.writerow([quoted_cell(str(text or "")) for text in texts])
    return path
