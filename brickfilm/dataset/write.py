"""Write a dataset to a folder: parquet files with the media inside, a card and a fingerprint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brickfilm.dataset.parquet import ROW_GROUP_BYTES, SHARD_BYTES, parquet_writer, write_until_full
from brickfilm.dataset.saved_card import render_saved_card
from brickfilm.digest import digest_of
from brickfilm.errors import UsageError
from brickfilm.files import recover_folder, replace_folder, temp_path
from brickfilm.schema.columns import CONFIGS, MEDIA_COLUMN

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, DatasetDict

FINGERPRINT_FILENAME = ".fingerprint.json"
FORMAT_VERSION = 2


def save_configs(configs: Mapping[str, DatasetDict], target: Path) -> Path:
    """Write the configs into the folder `target`, or leave it if its fingerprint is the same.

    A new folder is written beside it and replaces it as a whole. Raise UsageError if `target`
    contains files that are not a saved dataset.
    """
    recover_folder(target)
    card = saved_card(configs)
    fingerprint = {"fingerprint": digest_of(card, length=64), "format": FORMAT_VERSION}
    if _read_fingerprint(target) == fingerprint:
        return target
    if target.exists() and any(target.iterdir()) and _read_fingerprint(target) is None:
        raise UsageError(
            f"{str(target)!r} contains files but no saved dataset: name an empty or new folder"
        )
    draft = temp_path(target)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for config, splits in nonempty_configs(configs).items():
        for split, rows in splits.items():
            write_shards(rows, draft / config, split, MEDIA_COLUMN[config])
    (draft / "README.md").write_text(card, encoding="utf-8")
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
    rows: Dataset, folder: Path, split: str, media: str, shard_bytes: int = SHARD_BYTES
) -> list[Path]:
    """Write a split as parquet files with the media embedded; memory holds one row group."""
    folder.mkdir(parents=True, exist_ok=True)
    drafts: list[Path] = []
    groups = iter_embedded_row_groups(rows, media)
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


def iter_embedded_row_groups(rows: Dataset, media: str) -> Iterator[pa.Table]:
    """Yield tables with media bytes inside, of at most ROW_GROUP_BYTES of media or one row each."""
    from datasets.table import embed_table_storage

    table = rows.with_format("arrow")[:]
    start = size = 0
    for n, path in enumerate(table.column(media).to_pylist()):
        one = Path(path["path"]).stat().st_size
        if n > start and size + one > ROW_GROUP_BYTES:
            yield embed_table_storage(table.slice(start, n - start))
            start, size = n, 0
        size += one
    if table.num_rows > start:
        yield embed_table_storage(table.slice(start))


def _content_digest(configs: Mapping[str, DatasetDict]) -> str:
    """Return the digest of all rows without their media."""
    rows = {
        config: {
            split: list(rows.remove_columns(MEDIA_COLUMN[config])) for split, rows in splits.items()
        }
        for config, splits in configs.items()
    }
    return digest_of(rows)


def _read_fingerprint(folder: Path) -> dict[str, Any] | None:
    """Return the fingerprint of a saved dataset, or None if the folder has none."""
    try:
        fingerprint: dict[str, Any] = json.loads((folder / FINGERPRINT_FILENAME).read_text())
    except (OSError, ValueError):
        return None
    return fingerprint
