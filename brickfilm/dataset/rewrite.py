"""Delete rows from parquet files, and from a saved dataset."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from brickfilm.dataset.parquet import parquet_writer
from brickfilm.dataset.reader import SavedDataset, find_dataset
from brickfilm.dataset.saved_card import render_saved_card
from brickfilm.dataset.write import FINGERPRINT_FILENAME, FORMAT_VERSION, write_empty_parquet
from brickfilm.digest import digest_of
from brickfilm.files import commit_file, temp_path
from brickfilm.schema.columns import MEDIA_COLUMN


def copy_without_rows(source: Path, target: Path, media: str, ids: Collection[str]) -> int:
    """Copy a parquet file without some rows, a row group at a time; return the number left.

    If none are left, there is no target.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    deleted = pa.array(sorted(ids))
    left = 0
    with pq.ParquetFile(source) as file, parquet_writer(target, file.schema_arrow, media) as writer:
        for number in range(file.num_row_groups):
            table = file.read_row_group(number)
            kept = table.filter(pc.invert(pc.is_in(table["id"], deleted)))
            if len(kept):
                writer.write_table(kept, row_group_size=len(kept))
            left += len(kept)
    if not left:
        target.unlink()
    return left


def delete_rows_in_folder(
    dataset: SavedDataset, affected_files: Mapping[str, str], ids: Collection[str]
) -> None:
    """Delete rows from a saved folder: each file is replaced by a rename, or deleted if empty.

    affected_files: the files that contain such rows, with their config. If no rows are left at
    all, one file without rows keeps the columns.
    """
    import pyarrow.parquet as pq

    root = Path(dataset.root)
    last = root / next(iter(dataset.files.values()))[0]
    schema = pq.read_schema(last)
    for name, config in affected_files.items():
        path = root / name
        draft = temp_path(path)
        if copy_without_rows(path, draft, MEDIA_COLUMN[config], ids):
            commit_file(draft, path)
        else:
            path.unlink()
    if not any((root / name).exists() for names in dataset.files.values() for name in names):
        write_empty_parquet(last, schema)
    _write_card(root, dataset)


def _write_card(root: Path, dataset: SavedDataset) -> None:
    """Write the card of the files that are left, and a fingerprint that no build has."""
    splits: dict[str, list[str]] = {}
    for (config, split), names in dataset.files.items():
        if any((root / name).exists() for name in names):
            splits.setdefault(config, []).append(split)
    fingerprint = {"fingerprint": "rows were removed", "format": FORMAT_VERSION}
    (root / FINGERPRINT_FILENAME).write_text(json.dumps(fingerprint))
    (root / "README.md").write_text(render_saved_card(splits, 0, ""), encoding="utf-8")
    rest = find_dataset(root)
    ids = {config: list(rest.to_pandas(config, ["id"])["id"]) for config in splits}
    card = render_saved_card(splits, len(ids.get("clips", ())), digest_of(ids))
    (root / "README.md").write_text(card, encoding="utf-8")
