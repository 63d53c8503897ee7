"""Parquet files of a dataset: their size, and what in them is compressed."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from tests.kit.toy_dataset import toy_dataset


def test_media_lie_in_a_build_as_they_are_and_all_else_compressed(tmp_path: Path) -> None:
    toy_dataset(tmp_path)
    files = sorted((tmp_path / "dataset").rglob("*.parquet"))
    assert {file.parent.name for file in files} == {"clips", "images"}
    for file in files:
        group = pq.ParquetFile(file).metadata.row_group(0)
        columns = [group.column(n) for n in range(group.num_columns)]
        plain = {c.path_in_schema for c in columns if c.compression == "UNCOMPRESSED"}
        assert plain in ({"video.bytes", "video.path"}, {"image.bytes", "image.path"})
