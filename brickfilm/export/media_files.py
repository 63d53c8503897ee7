"""Write clips and images of a dataset as files, and the texts beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from brickfilm.dataset.reader import SavedDataset
from brickfilm.errors import UsageError
from brickfilm.export.rows import ExportRow
from brickfilm.files import atomic_write, disk_errors, make_folder
from brickfilm.schema.columns import MEDIA_COLUMN


def write_media(
    dataset: SavedDataset, rows: Iterable[ExportRow], folders: Mapping[str, str], out: Path
) -> dict[tuple[str, str], Path]:
    """Write the media of rows; return the path for each (config, id).

    An existing file is kept, because its name contains the digest of its bytes.
    """
    wanted = {(row.config, row.id): row for row in rows}
    paths = {
        key: make_folder(out / folders[row.config]) / row.file_name for key, row in wanted.items()
    }
    for key, cell in _media_cells(dataset, {config for config, _ in wanted}):
        if key in paths and not paths[key].exists():
            write_file(paths[key], _read_media(dataset, cell))
    return paths


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically; raise WorkdirUnusable if the disk is full."""
    with disk_errors(path.parent), atomic_write(path) as stream:
        stream.write(content)


def _media_cells(
    dataset: SavedDataset, configs: Iterable[str]
) -> Iterator[tuple[tuple[str, str], Mapping[str, Any] | None]]:
    for config in configs:
        columns = ["id", MEDIA_COLUMN[config]]
        for split in dataset.splits(config):
            for table in dataset.iter_tables(config, split, columns):
                for row in table.to_pylist():
                    yield (config, row["id"]), row[MEDIA_COLUMN[config]]


def _read_media(dataset: SavedDataset, cell: Mapping[str, Any] | None) -> bytes:
    content = dataset.read_media(cell)
    if content is None:
        raise UsageError(f"{dataset.name} has a row without media: run `brickfilm validate`")
    return content
