"""Write parquet files of limited size, one after the other, with one row group in memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brickfilm.errors import UsageError
from brickfilm.files import disk_errors, parse_json
from brickfilm.schema.columns import MEDIA_COLUMN

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SHARD_BYTES = 500 << 20
"""The shard size of the Hub's own clients."""
ROW_GROUP_BYTES = 4 << 20
"""Of media. To write groups takes up to nine times as much memory: 37 MB, and 108 MB for those of
16 MB, in files 0.05 % smaller. The Hub's viewer reads at most 286 MB."""


@dataclass(frozen=True)
class Shard:
    """A temporary parquet file, to be uploaded or measured."""

    path: Path
    name: str
    """Path in the repository."""
    rows: int
    bytes: int


def iter_shards(
    tables: Iterable[pa.Table], config: str, split: str, *, shard_bytes: int = SHARD_BYTES
) -> Iterator[Shard]:
    """Write a split as parquet; yield each file, and delete it when the next one is requested.

    Equal rows give equal bytes, so that a repeated upload sends nothing twice.
    """
    import pyarrow as pa

    waiting = concat_to_row_groups(tables)
    number, first = 0, next(waiting, None)
    with tempfile.TemporaryDirectory(prefix="brickfilm-") as folder:
        while first is not None:
            path = Path(folder, f"{number:05d}.parquet")
            with (
                disk_errors(Path(folder), "make room, or set TMPDIR to a larger place,"),
                parquet_writer(path, first.schema, MEDIA_COLUMN[config]) as writer,
            ):
                rows, first = write_until_full(writer, first, waiting, shard_bytes)
            name = f"{config}/{split}-{number:05d}.parquet"
            yield Shard(path, name, rows, path.stat().st_size)
            path.unlink()
            pa.default_memory_pool().release_unused()
            number += 1


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema, media: str) -> Iterator[pq.ParquetWriter]:
    """Open a writer that compresses all columns but the media, which are compressed already."""
    import pyarrow.parquet as pq

    codecs = {name: "zstd" for name in _leaf_columns(schema) if not name.startswith(f"{media}.")}
    with pq.ParquetWriter(
        path,
        schema,
        compression=codecs,
        use_dictionary=[name for name in codecs if name != "caption"],
        write_page_index=True,
    ) as writer:
        yield writer


def write_until_full(
    writer: pq.ParquetWriter,
    table: pa.Table | None,
    more: Iterator[pa.Table],
    shard_bytes: int,
) -> tuple[int, pa.Table | None]:
    """Write tables until the next one would exceed `shard_bytes`.

    Return the number of rows written, and that next table or None.
    """
    rows = written = 0
    while table is not None and (written == 0 or written + table.nbytes <= shard_bytes):
        writer.write_table(table, row_group_size=len(table))
        rows += len(table)
        written += table.nbytes
        table = next(more, None)
    return rows, table


def concat_to_row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join small tables to row groups of about ROW_GROUP_BYTES."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(part.nbytes for part in waiting) >= ROW_GROUP_BYTES:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def replace_column(table: pa.Table, name: str, values: Sequence[object]) -> pa.Table:
    """Return the table with other values of the same type in a column."""
    import pyarrow as pa

    position = table.schema.get_field_index(name)
    field = table.schema.field(position)
    return table.set_column(position, field, pa.array(values, field.type))


def drop_column(table: pa.Table, name: str) -> pa.Table:
    """Return the table without a column, in its data and in the features of its schema."""
    kept = table.drop_columns([name])
    features = hf_features(table.schema)
    features.pop(name, None)
    return with_features(kept, features)


def hf_features(schema: pa.Schema) -> dict[str, object]:
    """Return the features that `datasets` wrote into a parquet schema, as JSON.

    Raise UsageError if they are damaged.
    """
    metadata = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        return dict(parse_json(metadata).get("info", {}).get("features", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"the features in the schema of a parquet file are damaged ({error}): write the file "
            "again with `datasets`"
        ) from error


def with_features(table: pa.Table, features: dict[str, object]) -> pa.Table:
    """Return the table with these features in its schema, for `datasets` to decode its columns."""
    info = json.dumps({"info": {"features": features}})
    return table.replace_schema_metadata({"huggingface": info})


def _leaf_columns(schema: pa.Schema) -> Iterator[str]:
    """Yield column paths as in parquet: `video.bytes`, `frame_hashes.list.element`."""
    import pyarrow as pa

    for field in schema:
        if pa.types.is_struct(field.type):
            yield from (f"{field.name}.{inner.name}" for inner in field.type)
        elif pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
            yield f"{field.name}.list.element"
        else:
            yield field.name
