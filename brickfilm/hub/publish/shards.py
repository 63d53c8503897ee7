"""Parquet shards and media files of a push."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from brickfilm.dataset.data_files import SplitKey
from brickfilm.dataset.parquet import Shard, drop_column, iter_shards, replace_column
from brickfilm.dataset.reader import MEDIA_SUFFIX, SavedDataset
from brickfilm.hub.publish.options import MEDIA_FOLDER, PlannedFile, PushOptions
from brickfilm.schema.columns import MEDIA_COLUMN

if TYPE_CHECKING:
    import pyarrow as pa


def iter_push_shards(dataset: SavedDataset, options: PushOptions) -> Iterator[Shard]:
    """Write the shards of a push one at a time; each is deleted when the next one is taken."""
    for config, split in dataset.files:
        transform = _table_transform(dataset, config, options)
        tables = (transform(table) for table in dataset.iter_tables(config, split))
        yield from iter_shards(tables, config, split, shard_bytes=options.shard_bytes)


def iter_media_files(dataset: SavedDataset) -> Iterator[tuple[str, bytes]]:
    """Yield the path in the repository and the bytes of every media file of a dataset."""
    for config, split in dataset.files:
        column = MEDIA_COLUMN[config]
        for table in dataset.iter_tables(config, split, ["id", "sha256", column]):
            for row in table.to_pylist():
                content = dataset.read_row_media(config, row)
                if content is not None:
                    yield media_path_in_repo(config, row["id"], row["sha256"]), content


def media_path_in_repo(config: str, row_id: str, sha256: str) -> str:
    """Return the path of a row's media file in the repository, named after its id and bytes."""
    return f"{MEDIA_FOLDER}/{config}/{row_id}-{sha256[:8]}{MEDIA_SUFFIX[config]}"


def split_sizes(files: Sequence[PlannedFile]) -> Mapping[SplitKey, int]:
    """Sum the bytes of parquet files by config and split, as their names tell."""
    sizes: Counter[SplitKey] = Counter()
    for file in files:
        config, _, name = file.name.partition("/")
        if name.endswith(".parquet"):
            sizes[config, name.rsplit("-", 1)[0]] += file.bytes
    return sizes


def _table_transform(
    dataset: SavedDataset, config: str, options: PushOptions
) -> Callable[[pa.Table], pa.Table]:
    """Return the change to each table: embed its media, name media files, or drop the column."""
    if options.media == "none":
        return lambda table: drop_column(table, MEDIA_COLUMN[config])
    if options.media == "embed":
        return lambda table: _embed_media(table, config, dataset)
    version = f"@{options.revision}" if options.revision else ""
    prefix = f"hf://datasets/{options.repo_id}{version}/"
    return lambda table: _name_media_files(table, config, prefix)


def _name_media_files(table: pa.Table, config: str, prefix: str) -> pa.Table:
    """Replace media by the address of their file in the repository."""
    rows = table.select(["id", "sha256"]).to_pylist()
    names = [media_path_in_repo(config, row["id"], row["sha256"]) for row in rows]
    return replace_column(
        table, MEDIA_COLUMN[config], [{"bytes": None, "path": prefix + name} for name in names]
    )


def _embed_media(table: pa.Table, config: str, dataset: SavedDataset) -> pa.Table:
    """Check the media of a table, and put the bytes of those that it only names into it."""
    column = MEDIA_COLUMN[config]
    rows = table.select(["id", "sha256", column]).to_pylist()
    cells = [{**row[column], "bytes": dataset.read_row_media(config, row)} for row in rows]
    return replace_column(table, column, cells)
