"""Write a dataset to a folder: parquet files with the media inside, a card and a fingerprint."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from os.path import basename, isfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brickfilm.dataset.parquet import (
    ROW_GROUP_BYTES,
    SHARD_BYTES,
    parquet_writer,
    replace_column,
    write_until_full,
)
from brickfilm.dataset.row_table import batch_rows
from brickfilm.dataset.saved_card import render_saved_card
from brickfilm.digest import canonical_json, digest_of, json_of_plain
from brickfilm.errors import BrickfilmError, UsageError
from brickfilm.files import parse_json, recover_folder, replace_folder, temp_path
from brickfilm.schema.columns import CONFIGS, MEDIA_COLUMN

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, DatasetDict

FINGERPRINT_FILENAME = ".fingerprint.json"
FORMAT_VERSION = 2
DIGESTED_ROWS = 1000
"""Rows that are in memory as Python objects while the content is digested."""


class DamagedMediaError(BrickfilmError):
    """Media files that are missing, or whose bytes are not those that were written."""

    def __init__(self, paths: Sequence[Path]) -> None:
        names = ", ".join(path.name for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
        super().__init__(
            f"{len(paths)} media files of the work folder are damaged or missing ({names}): run "
            "the build again, which writes them anew"
        )
        self.paths = paths


def save_configs(configs: Mapping[str, DatasetDict], target: Path) -> Path:
    """Write the configs into the folder `target`, or leave it if its fingerprint is the same.

    A new folder is written beside it and replaces it as a whole. Raise UsageError if `target`
    contains files that are not a saved dataset, and DamagedMediaError if media do not have the
    `sha256` of their row; `target` is then as before.
    """
    recover_folder(target)
    card = saved_card(configs)
    fingerprint: dict[str, Any] = {
        "fingerprint": digest_of(card, length=64),
        "format": FORMAT_VERSION,
    }
    if _is_complete(target, fingerprint):
        return target
    is_ours = (target / FINGERPRINT_FILENAME).exists()
    if target.exists() and any(target.iterdir()) and not is_ours:
        raise UsageError(
            f"{str(target)!r} contains files but no saved dataset: move them away, or name an "
            "empty or new folder"
        )
    draft = temp_path(target)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    damaged: list[Path] = []
    for config, splits in nonempty_configs(configs).items():
        for split, rows in splits.items():
            write_shards(rows, draft / config, split, MEDIA_COLUMN[config], damaged)
    if damaged:
        shutil.rmtree(draft)
        raise DamagedMediaError(damaged)
    (draft / "README.md").write_text(card, encoding="utf-8")
    fingerprint["files"] = file_sizes(draft)
    (draft / FINGERPRINT_FILENAME).write_text(json.dumps(fingerprint))
    replace_folder(draft, target)
    return target


def saved_card(configs: Mapping[str, DatasetDict]) -> str:
    """Return the card of a saved dataset with these configs."""
    clips = sum(len(split) for split in configs["clips"].values())
    splits = {config: list(splits) for config, splits in nonempty_configs(configs).items()}
    return render_saved_card(splits, clips, _content_digest(configs))


def nonempty_configs(configs: Mapping[str, DatasetDict]) -> dict[str, DatasetDict]:
    """Return the configs with rows: `load_dataset` rejects an empty split.

    If none has rows, return `clips` alone, so that its columns are saved.
    """
    nonempty = {config: splits for config, splits in configs.items() if any(splits.values())}
    return nonempty or {CONFIGS[0]: configs[CONFIGS[0]]}


def write_shards(
    rows: Dataset,
    folder: Path,
    split: str,
    media: str,
    damaged: list[Path],
    shard_bytes: int = SHARD_BYTES,
) -> list[Path]:
    """Write a split as parquet files with the media embedded; memory holds one row group.

    Media files whose bytes do not have their row's `sha256` are added to `damaged`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drafts: list[Path] = []
    groups = iter_embedded_row_groups(rows, media, damaged)
    table = next(groups, None)
    if table is None:
        empty = folder / f"{split}-00000.parquet"
        drafts.append(write_empty_parquet(empty, rows.with_format("arrow")[:].schema))
    while table is not None:
        drafts.append(folder / f"{split}-{len(drafts):05d}.parquet")
        with parquet_writer(drafts[-1], table.schema, media) as writer:
            _, table = write_until_full(writer, table, groups, shard_bytes)
    names = [folder / f"{split}-{n:05d}-of-{len(drafts):05d}.parquet" for n in range(len(drafts))]
    return [draft.rename(name) for draft, name in zip(drafts, names, strict=True)]


def write_empty_parquet(path: Path, schema: pa.Schema) -> Path:
    """Write a parquet file with columns and no rows."""
    import pyarrow.parquet as pq

    pq.ParquetWriter(path, schema).close()
    return path


def iter_embedded_row_groups(rows: Dataset, media: str, damaged: list[Path]) -> Iterator[pa.Table]:
    """Yield tables with media bytes inside, of at most ROW_GROUP_BYTES of media or one row each.

    The bytes are compared with the column `sha256`; files that differ are added to `damaged`.
    """
    table = rows.with_format("arrow")[:]
    start = size = 0
    cells: list[dict[str, Any]] = []
    for n, (cell, sha256) in enumerate(_cells(table, media)):
        content = _read_checked(cell["path"], sha256, damaged)
        if n > start and size + len(content) > ROW_GROUP_BYTES:
            yield replace_column(table.slice(start, n - start), media, cells)
            start, size, cells = n, 0, []
        size += len(content)
        name = basename(cell["path"])  # noqa: PTH119  as below
        cells.append({"bytes": content, "path": name})
    if cells:
        yield replace_column(table.slice(start), media, cells)


def _cells(table: pa.Table, media: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the media and the sha256 of each row."""
    for batch in table.select([media, "sha256"]).to_batches():
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _read_checked(path: str, sha256: str, damaged: list[Path]) -> bytes:
    content = b""
    if isfile(path):  # noqa: PTH113  pathlib and a buffer take twice as long
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            content = file.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        damaged.append(Path(path))
    return content


def _content_digest(configs: Mapping[str, DatasetDict]) -> str:
    """Return `digest_of` all rows without their media, as lists by split by config.

    The JSON is digested piece by piece: that of a million rows would take gigabytes.
    """
    digest = hashlib.sha256()
    for piece in _content_json(configs):
        digest.update(piece.encode())
    return digest.hexdigest()[:16]


def _content_json(configs: Mapping[str, DatasetDict]) -> Iterator[str]:
    """Yield the canonical JSON of all rows in pieces."""
    before = "{"
    for config in sorted(configs):
        yield f"{before}{canonical_json(config)}:"
        before = "{"
        for split, rows in sorted(configs[config].items()):
            yield f"{before}{canonical_json(split)}:["
            yield from _rows_json(rows.remove_columns(MEDIA_COLUMN[config]))
            yield "]"
            before = ","
        yield "}" if before == "," else "{}"
        before = ","
    yield "}" if before == "," else "{}"


def _rows_json(rows: Dataset) -> Iterator[str]:
    """Yield the canonical JSON of rows, separated by commas."""
    comma = ""
    for batch in rows.with_format("arrow")[:].to_batches(max_chunksize=DIGESTED_ROWS):
        if batch.num_rows:
            yield comma + json_of_plain(batch_rows(batch))[1:-1]
            comma = ","


def file_sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file of a saved dataset but the fingerprint, by relative name."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in files}
    sizes.pop(FINGERPRINT_FILENAME, None)
    return sizes


def _is_complete(folder: Path, fingerprint: Mapping[str, Any]) -> bool:
    """Return True if a folder has this fingerprint, and its files the sizes stored with it.

    Older fingerprints have no sizes.
    """
    try:
        stored = parse_json((folder / FINGERPRINT_FILENAME).read_text())
        return bool({**stored, **fingerprint} == stored) and (
            "files" not in stored or stored["files"] == file_sizes(folder)
        )
    except (OSError, ValueError, TypeError):
        return False
