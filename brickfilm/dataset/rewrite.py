"""Rows taken out of parquet files, and the saved dataset that they are part of."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from brickfilm.dataset import (
    FINGERPRINT_FILENAME,
    FORMAT_VERSION,
    render_saved_card,
    write_empty_parquet,
)
from brickfilm.dataset.parquet import parquet_writer
from brickfilm.dataset.reader import MEDIA_COLUMN, SavedDataset, find_dataset
from brickfilm.digest import digest_of
from brickfilm.files import commit_file, temp_path


def copy_without_rows(source: Path, target: Path, media: str, ids: Collection[str]) -> int:
    """Copy a parquet file without some rows, a row group at a time; gives how many are left.

    With none left there is no target.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    gone = pa.array(sorted(ids))
    left = 0
    with pq.ParquetFile(source) as held, parquet_writer(target, held.schema_arrow, media) as writer:
        for number in range(held.num_row_groups):
            table = held.read_row_group(number)
            kept = table.filter(pc.invert(pc.is_in(table["id"], gone)))
            if len(kept):
                writer.write_table(kept, row_group_size=len(kept))
            left += len(kept)
    if not left:
        target.unlink()
    return left


def delete_rows_in_folder(
    dataset: SavedDataset, affected_files: Mapping[str, str], ids: Collection[str]
) -> None:
    """Take rows out of a saved folder: each file is replaced by a rename, or deleted if empty.

    touched: the files that hold such rows, with their config. Of the last row the columns stay.
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
    """The card for the files that are left; the next build sees that the folder was changed."""
    places = [
        p for p, paths in dataset.files.items() if any((root / name).exists() for name in paths)
    ]
    splits = {
        c: [s for named, s in places if named == c] for c in dict.fromkeys(c for c, _ in places)
    }
    mark = {"fingerprint": "rows were removed", "format": FORMAT_VERSION}
    (root / FINGERPRINT_FILENAME).write_text(json.dumps(mark))
    (root / "README.md").write_text(render_saved_card(splits, 0, ""), encoding="utf-8")
    left = find_dataset(root)
    ids = {config: list(left.to_pandas(config, ["id"])["id"]) for config in splits}
    card = render_saved_card(splits, len(ids.get("clips", ())), digest_of(ids))
    (root / "README.md").write_text(card, encoding="utf-8")
