"""What every exporter does: media out of a dataset, each in a file of its own."""

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

_NO_MEDIA_ERROR = (
    "{} holds references, not pictures: `brickfilm materialize` cuts the clips "
    "from their sources first"
)


@dataclass(frozen=True)
class ExportResult:
    """What an exporter wrote."""

    index_path: Path
    """The file that a trainer is given."""
    clips: int
    images: int
    without_caption: int
    """Rows that were left out: a trainer would learn an empty text."""


class Exporter(Protocol):
    """Writes a dataset into a folder, in one trainer's format."""

    def __call__(self, dataset: SavedDataset, out: Path) -> ExportResult: ...


def write_captioned_media(
    dataset: SavedDataset, config: str, folder: Path
) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The rows of a config that have a caption, each with its media written into a folder.

    A file that is there already is kept: it is named after the bytes that it holds.
    """
    make_folder(folder)
    column = MEDIA_COLUMN[config]
    for split in dataset.splits(config):
        for table in dataset.iter_tables(config, split):
            for row in (row for row in table.to_pylist() if row["caption"]):
                path = folder / f"{row['id']}-{row['sha256'][:8]}{MEDIA_SUFFIX[config]}"
                if not path.exists():
                    write_file(path, _read_media(dataset, row, column))
                yield path, {**row, "split": split}


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically; raise WorkdirUnusable if the disk is full."""
    with disk_errors(path.parent), atomic_write(path) as stream:
        stream.write(content)


def require_media(dataset: SavedDataset) -> None:
    """Raises UsageError for references, before anything is written."""
    for config in dataset.configs:
        if MEDIA_COLUMN[config] not in dataset.columns(config):
            raise UsageError(_NO_MEDIA_ERROR.format(dataset.name))


def count_rows_without_caption(dataset: SavedDataset) -> int:
    """How many there are; raises UsageError where that is all, before anything is written."""
    require_rows(dataset)
    captions = [
        text for c in dataset.configs for text in dataset.to_pandas(c, ["caption"])["caption"]
    ]
    captioned = sum(isinstance(text, str) and text != "" for text in captions)
    if not captioned:
        raise UsageError(
            f"none of the {len(captions)} rows of {dataset.name!r} has a caption, and a trainer "
            "would learn an empty text: caption them first (`brickfilm build --captions`)"
        )
    return len(captions) - captioned


def _read_media(dataset: SavedDataset, row: Mapping[str, Any], column: str) -> bytes:
    content = dataset.read_media(row[column])
    if content is None:
        raise UsageError(_NO_MEDIA_ERROR.format(dataset.name))
    return content
