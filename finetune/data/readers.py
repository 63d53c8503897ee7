"""Read the rows of a dataset: a folder or Hub id in brickfilm's columns, or an Open-Sora CSV."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from finetune.errors import BadSample, DataError
from finetune.models.hub import download_snapshot

READ_COLUMNS = ("sha256", "caption", "num_frames", "fps_num", "fps_den", "height", "width")
NON_TRAIN_SPLIT = re.compile(r"(^|/)(test|validation)[-./]")


@dataclass(frozen=True, kw_only=True)
class DatasetRow:
    """A clip or an image, as training needs it."""

    sha256: bytes  # of the media, 32 bytes
    caption: str
    frames: int
    fps: Fraction
    height: int
    width: int
    file: str  # a parquet file, or (row_group < 0) the media itself
    row_group: int
    row_in_group: int


def find_files(dataset: str) -> list[Path]:
    """Return the files of the training split, sorted.

    `dataset` is a folder of parquet files, one parquet or CSV file, or a Hub id. Raise DataError if
    it does not exist or has no such file.
    """
    path = Path(dataset)
    if path.is_file():
        return [path]
    if not path.is_dir():
        path = _download_from_hub(dataset)
    files = sorted(path.rglob("*.parquet"))
    files = [p for p in files if not NON_TRAIN_SPLIT.search(str(p.relative_to(path)))]
    if not files:
        raise DataError(f"no parquet file of a training split under {path}: name another folder")
    return files


def _download_from_hub(dataset: str) -> Path:
    """Download a dataset's parquet files from the Hub."""
    if dataset.startswith(("/", ".", "work/")) or dataset.count("/") != 1:
        hint = " (`make demo` builds it)" if dataset.rstrip("/").endswith("demo/dataset") else ""
        raise DataError(f"no dataset at {dataset}{hint}: name a folder, a CSV, or a Hub id")
    return download_snapshot(dataset, ["*.parquet"], DataError, repo_type="dataset")


def read_rows(files: list[Path]) -> Iterator[DatasetRow | BadSample]:
    """Yield all rows in the files' order; an unreadable one as the BadSample that describes it.

    Media are not read, except a CSV's, once, for their digest.
    """
    from pyarrow import ArrowException

    for file in files:
        try:
            yield from _csv_rows(file) if file.suffix == ".csv" else _parquet_rows(file)
        except ArrowException as error:
            raise DataError(
                f"{file} cannot be read ({error}): build or download it again"
            ) from error


def _parquet_rows(file: Path) -> Iterator[DatasetRow | BadSample]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        names = set(parquet.schema_arrow.names)
        _check_columns(file, names)
        columns = [name for name in READ_COLUMNS if name in names]
        for row_group in range(parquet.num_row_groups):
            table = parquet.read_row_group(row_group, columns=columns)
            for row_in_group, row in enumerate(table.to_pylist()):
                yield _parse_row(
                    row, file=str(file), row_group=row_group, row_in_group=row_in_group
                )


def _check_columns(file: Path, names: set[str]) -> None:
    required = set(READ_COLUMNS) if "video" in names else {"sha256", "caption", "height", "width"}
    missing = sorted(required - names)
    if not names & {"video", "image"}:
        missing.append("video (or image)")
    if missing:
        raise DataError(
            f"{file} lacks the column(s) {', '.join(missing)}: see docs/dataset-schema.md"
        )


def _parse_row(
    row: dict[str, Any], *, file: str, row_group: int, row_in_group: int
) -> DatasetRow | BadSample:
    try:
        return DatasetRow(
            sha256=bytes.fromhex(row["sha256"]),
            caption=row["caption"] or "",
            frames=row.get("num_frames") or 1,
            fps=Fraction(row.get("fps_num") or 0, row.get("fps_den") or 1),
            height=int(row["height"]),
            width=int(row["width"]),
            file=file,
            row_group=row_group,
            row_in_group=row_in_group,
        )
    except (TypeError, ValueError) as error:
        return BadSample(f"row {row_in_group} of row group {row_group} of {file}: {error}")


def _csv_rows(file: Path) -> Iterator[DatasetRow | BadSample]:
    """Read an Open-Sora CSV: path, text, num_frames, height, width, fps; paths from its folder.

    Missing values are read from the media: the predecessor's fps column is empty in all rows.
    """
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        reader = csv.DictReader(lines)
        missing = {"path", "text"} - set(reader.fieldnames or ())
        if missing:
            raise DataError(f"{file} lacks the column(s) {', '.join(sorted(missing))}")
        for line in reader:
            yield _parse_csv_row(file, reader.line_num, line)


def _parse_csv_row(file: Path, number: int, line: dict[str, str]) -> DatasetRow | BadSample:
    media = file.parent / (line["path"] or "")
    try:
        metadata = _media_metadata(media, line)
    except (OSError, ValueError, BadSample) as error:
        return BadSample(f"{media}, line {number} of {file}: {error}")
    row = {"caption": line["text"], **metadata}
    return _parse_row(row, file=str(media), row_group=-1, row_in_group=-1)


def _media_metadata(media: Path, line: dict[str, str]) -> dict[str, Any]:
    """Return digest, frames, fps and size; open the media only for values missing in the line."""
    from finetune.data.media import probe

    with media.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if all(line.get(name) for name in ("num_frames", "height", "width", "fps")):
        fps = Fraction(line["fps"]).limit_denominator(1001)
        sizes = {name: int(float(line[name])) for name in ("num_frames", "height", "width")}
    else:
        info = probe(media)
        fps = info.fps
        sizes = {"num_frames": info.frames, "height": info.height, "width": info.width}
    return {"sha256": digest, "fps_num": fps.numerator, "fps_den": fps.denominator, **sizes}
