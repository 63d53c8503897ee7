"""Parquet files of a dataset: their size, and what in them is compressed."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from brickfilm.dataset import write_shards
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


def test_a_split_is_cut_into_files_that_say_how_many_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brickfilm.dataset.write.ROW_GROUP_BYTES", 1)  # a row each
    rows = toy_dataset(tmp_path, films=2, clips=3)["clips"]["train"]
    cut = write_shards(rows, tmp_path / "cut", "train", "video", shard_bytes=1)
    assert [file.name for file in cut] == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    assert [pq.read_table(file)["id"].to_pylist() for file in cut] == [[i] for i in rows["id"]]
