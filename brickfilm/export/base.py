"""The protocol of exporters, and the files and checks that they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from brickfilm.dataset.reader import MEDIA_SUFFIX, SavedDataset
from brickfilm.dataset.required_columns import require_rows
from brickfilm.errors import UsageError
from brickfilm.files import atomic_write, disk_errors, make_folder
from brickfilm.schema.columns import MEDIA_COLUMN


@dataclass(frozen=True)
class ExportResult:
    """Files and rows that an exporter wrote."""

    index_path: Path
    """The file to pass to the trainer."""
    clips: int
    images: int
    without_caption: int
    """Number of rows left out, because a trainer would learn an empty text."""


class Exporter(Protocol):
    """Write a dataset into a folder, in one trainer's format."""

    def __call__(self, dataset: SavedDataset, out: Path) -> ExportResult: ...


def write_captioned_media(
    dataset: SavedDataset, config: str, folder: Path
) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Write the media of each captioned row into a folder; yield the file's path and the row.

    An existing file is kept, because its name contains the digest of its bytes.
    """
    make_folder(folder)
    for split in dataset.splits(config):
        for table in dataset.iter_tables(config, split):
            for row in (row for row in table.to_pylist() if row["caption"]):
                path = folder / f"{row['id']}-{row['sha256'][:8]}{MEDIA_SUFFIX[config]}"
                if not path.exists():
                    write_file(path, _read_media(dataset, row[MEDIA_COLUMN[config]]))
                yield path, {**row, "split": split}


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically; raise WorkdirUnusable if the disk is full."""
    with disk_errors(path.parent), atomic_write(path) as stream:
        stream.write(content)


def require_media(dataset: SavedDataset) -> None:
    """Raise UsageError for a dataset of references, before anything is written."""
    for config in dataset.configs:
        if MEDIA_COLUMN[config] not in dataset.columns(config):
            raise UsageError(
                f"{dataset.name} holds references, not pictures: run `brickfilm materialize` "
                "first, which cuts the clips from their sources"
            )


def count_rows_without_caption(dataset: SavedDataset) -> int:
    """Count the rows without a caption; raise UsageError if no row has one."""
    require_rows(dataset)
    captions = [
        text for c in dataset.configs for text in dataset.to_pandas(c, ["caption"])["caption"]
    ]
    captioned = sum(isinstance(text, str) and text != "" for text in captions)
    if not captioned:
        raise UsageError(
            f"none of the {len(captions)} rows of {dataset.name!r} has a caption, and a trainer "
            "would learn an empty text: run `brickfilm build --captions ...` first"
        )
    return len(captions) - captioned


def _read_media(dataset: SavedDataset, cell: Mapping[str, Any] | None) -> bytes:
    content = dataset.read_media(cell)
    if content is None:
        raise UsageError(f"{dataset.name} has a row without media: run `brickfilm validate`")
    return content
