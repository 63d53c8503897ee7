"""Tables of the `datasets` library, built from rows and from the types of `schema.columns`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os.path import join
from pathlib import Path
from typing import TYPE_CHECKING

from brickfilm.dataset.row_table import RowTable, column_types
from brickfilm.dataset.rows import DatasetRow, video_id_of
from brickfilm.dataset.table_writer import BATCH_ROWS, TableWriter
from brickfilm.schema.columns import (
    CAPTION_STYLES,
    CONFIGS,
    ENCODING,
    MEDIA_COLUMN,
    OPTIONAL_CLIP_COLUMNS,
    SHOT_DETECTOR,
    TRANSITION_COLUMNS,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, DatasetDict, Features

LATER = (SHOT_DETECTOR, *TRANSITION_COLUMNS, ENCODING)
"""Optional columns that a table without rows does not have, as the first release wrote it."""


def configs_from_rows(
    clips: Sequence[DatasetRow],
    images: Sequence[DatasetRow],
    split_by_video: Mapping[str, str],
    work: Path,
) -> dict[str, DatasetDict]:
    """Split the rows of both configs by video; media paths in the rows are relative to `work`."""
    return {
        config: _split_rows(config, _as_table(config, rows, work), split_by_video, work)
        for config, rows in zip(CONFIGS, (clips, images), strict=True)
    }


def _as_table(config: str, rows: Sequence[DatasetRow], folder: Path) -> RowTable:
    if isinstance(rows, RowTable):
        return rows
    return RowTable.of(config, rows, _column_names(config, rows), folder)


def config_features(config: str, rows: Iterable[DatasetRow] = ()) -> Features:
    """Return the columns of a config, which depend on the scores and captions of its rows."""
    return _features(column_types(config, _column_names(config, rows)))


def _features(types: Mapping[str, str]) -> Features:
    from datasets import Features, Image, List, Value, Video

    features = {
        **{name: Value(name) for name in ("string", "int64", "float64")},
        **{f"list<{name}>": List(Value(name)) for name in ("string", "int64")},
        **{"video": Video(decode=False), "image": Image()},
    }
    return Features({name: features[kind] for name, kind in types.items()})


def _column_names(config: str, rows: Iterable[DatasetRow]) -> set[str]:
    """Return the columns of rows: without any, the optional ones of clips but the later."""
    names: set[str] = set()
    has_styles = False
    for row in rows:
        names.update(row)
        has_styles = has_styles or bool(row.get(CAPTION_STYLES))
    if not names:
        return set(OPTIONAL_CLIP_COLUMNS) - set(LATER)
    return names if has_styles else names - {CAPTION_STYLES}


def _split_rows(
    config: str, rows: RowTable, split_by_video: Mapping[str, str], work: Path
) -> DatasetDict:
    """Return a table for each split, of rows in their order; `train` alone if there are none."""
    from datasets import DatasetDict

    names = set(rows.names) if len(rows) else _column_names(config, ())
    features = _features(column_types(config, names))
    schema = features.arrow_schema
    writers = {split: TableWriter(schema, work) for split in ("train", "test")}
    for batch in rows.table.to_batches(max_chunksize=BATCH_ROWS):
        located = _located(batch, MEDIA_COLUMN[config], work.resolve(), schema)
        for split, part in _parts(located, split_by_video):
            writers[split].write(part)
    tables = {split: _dataset(writer, features) for split, writer in writers.items()}
    nonempty = {split: table for split, table in tables.items() if len(table)}
    return DatasetDict(nonempty or {"train": tables["train"]})


def _located(batch: pa.RecordBatch, media: str, folder: Path, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the columns of a schema: media as `datasets` has them, by their path."""
    import pyarrow as pa

    files = [{"path": join(folder, path)} for path in batch[media].to_pylist()]  # noqa: PTH118
    known = {name: batch[name] for name in batch.schema.names}
    known[media] = pa.array(files, schema.field(media).type)
    none = {field.name: pa.nulls(len(batch), field.type) for field in schema}
    return pa.RecordBatch.from_arrays(
        [known.get(field.name, none[field.name]).cast(field.type) for field in schema],
        schema=schema,
    )


def _parts(
    batch: pa.RecordBatch, split_by_video: Mapping[str, str]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of each split."""
    import pyarrow as pa

    splits = [split_by_video[video_id_of(id)] for id in batch["id"].to_pylist()]
    for split in set(splits):
        yield split, batch.filter(pa.array([of == split for of in splits]))


def _dataset(writer: TableWriter, features: Features) -> Dataset:
    from datasets import Dataset, DatasetInfo

    table = writer.close()
    if writer.path is None:
        return Dataset(table, info=DatasetInfo(features=features))
    dataset = Dataset.from_file(str(writer.path))
    writer.delete_with(dataset)
    return dataset
