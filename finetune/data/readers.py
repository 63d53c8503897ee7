"""Find the rows of a dataset in whatever form people keep one: see docs/finetune.md, Datasets."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from brickfilm.schema.columns import HELD_OUT_SPLITS
from finetune.data.media_folders import MEDIA_SUFFIXES, CaptionedFolder, TarShard
from finetune.data.parquet_rows import ParquetFile
from finetune.data.rows import RowSource
from finetune.data.tables import TABLE_SUFFIXES, MediaTable
from finetune.errors import DataError
from finetune.models.hub import download_snapshot

NON_TRAIN_SPLIT = re.compile(rf"(^|/)({'|'.join(HELD_OUT_SPLITS)})[-./]")
METADATA_FILES = tuple(f"metadata{suffix}" for suffix in TABLE_SUFFIXES)
HUB_PATTERNS = [*METADATA_FILES, *(f"**/{name}" for name in METADATA_FILES), "*.tar", "*.txt"]
KINDS = "parquet files, metadata.csv or .jsonl, .tar shards, or media with captions in .txt files"


def find_sources(dataset: str) -> list[RowSource]:
    """Return what holds the rows of the training split, sorted by name.

    `dataset` is a folder, one parquet, CSV, JSONL, JSON or tar file, or a Hub id. Of a folder, the
    first of these kinds is used: parquet files; metadata tables; tars; media beside captions.
    Raise DataError if it does not exist or has none.
    """
    path = Path(dataset).expanduser()
    if path.is_file():
        return [_file_source(path)]
    if path.is_dir():
        sources = _folder_sources(path)
    else:
        path = _download_from_hub(dataset, ["*.parquet"])
        sources = _folder_sources(path)
        if not sources:
            media = [f"*{suffix}" for suffix in MEDIA_SUFFIXES]
            sources = _folder_sources(_download_from_hub(dataset, [*HUB_PATTERNS, *media]))
    if not sources:
        raise DataError(
            f"no parquet file of a training split under {path}, nor another dataset: name a "
            f"folder with {KINDS}"
        )
    return sources


def _file_source(file: Path) -> RowSource:
    if file.suffix in TABLE_SUFFIXES:
        return MediaTable(file)
    if file.suffix == ".tar":
        return TarShard(file)
    if file.suffix == ".parquet":
        return ParquetFile(file)
    raise DataError(f"{file} is no dataset: name a {', '.join(TABLE_SUFFIXES)}, .parquet or .tar")


def _folder_sources(folder: Path) -> list[RowSource]:
    def find(*patterns: str) -> list[Path]:
        files = sorted(file for pattern in patterns for file in folder.rglob(pattern))
        return [f for f in files if not NON_TRAIN_SPLIT.search(_split_path(f, folder))]

    files = find("*.parquet") or _one_per_folder(find(*METADATA_FILES)) or find("*.tar")
    if files:
        return [_file_source(file) for file in files]
    media = tuple(file for file in find("*") if file.suffix.lower() in MEDIA_SUFFIXES)
    return [CaptionedFolder(folder, media)] if media else []


def _split_path(file: Path, folder: Path) -> str:
    """Return the path in which a split may be named: of media, that of their folder."""
    path = file.relative_to(folder)
    return f"{path.parent}/" if file.suffix.lower() in MEDIA_SUFFIXES else str(path)


def _one_per_folder(tables: list[Path]) -> list[Path]:
    """Return the tables; raise DataError for two of one folder: one is mostly a copy."""
    for first, second in pairwise(sorted(tables)):
        if first.parent == second.parent:
            raise DataError(
                f"{first.parent} has both {first.name} and {second.name}: name the one to read"
            )
    return tables


def _download_from_hub(dataset: str, patterns: list[str]) -> Path:
    """Download a dataset's files from the Hub."""
    if dataset.startswith(("/", ".", "~", "work/")) or dataset.count("/") != 1:
        hint = " (`make demo` builds it)" if dataset.rstrip("/").endswith("demo/dataset") else ""
        raise DataError(f"no dataset at {dataset}{hint}: name a folder, a CSV, or a Hub id")
    return download_snapshot(dataset, patterns, DataError, repo_type="dataset")
