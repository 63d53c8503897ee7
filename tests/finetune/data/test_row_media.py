"""Media cells name files of the dataset's own folder, in parquet and in tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from finetune.data.readers import find_sources
from finetune.data.row_media import read_media
from finetune.errors import BadSample, WeightsError
from finetune.models.stdit2.network import STDiT2
from tests.kit.networks import TINY, tiny_model
from tests.kit.toy_clips import Toy, encoded, write_dataset

WAYS = ("absolute", "up", "link", "url", "scheme")


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    content = encoded(0, 20, 144, 256)
    (tmp_path / "secret.mp4").write_bytes(content)
    return content


def attack(way: str, tmp_path: Path, folder: Path) -> str:
    secret = tmp_path / "secret.mp4"
    if way == "link":
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "link.mp4").symlink_to(secret)
    return {
        "absolute": str(secret),
        "up": f"{'../' * len(folder.relative_to(tmp_path).parts)}secret.mp4",
        "link": "link.mp4",
        "url": "hf://datasets/maker/other/../secret.mp4",
        "scheme": secret.as_uri(),
    }[way]


@pytest.mark.parametrize("way", WAYS)
def test_a_parquet_cell_reads_no_file_outside(way: str, tmp_path: Path, clip: bytes) -> None:
    path = attack(way, tmp_path, tmp_path / "set/clips")
    folder = write_dataset(tmp_path / "set", [Toy(path=path, media=clip)])
    (source,) = find_sources(str(folder))
    (row,) = source.rows()
    assert not isinstance(row, BadSample)
    with pytest.raises(BadSample, match="not in their own folder"):
        read_media(row)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_reads_no_file_outside(way: str, suffix: str, tmp_path: Path, clip: bytes) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    path = attack(way, tmp_path, folder)
    with (folder / f"metadata{suffix}").open("w") as file:
        if suffix == ".csv":
            csv.writer(file).writerows([["path", "text"], [path, "x"]])
        else:
            file.write(f'{{"path": "{path}", "text": "x"}}\n')
    (source,) = find_sources(str(folder))
    assert source.stamps()
    (row,) = source.rows()
    assert isinstance(row, BadSample)
    assert "not in their own folder" in str(row)


def test_a_copy_of_a_repository_reads_its_own_media(tmp_path: Path, clip: bytes) -> None:
    folder = write_dataset(
        tmp_path / "set", [Toy(path="hf://datasets/maker/set@v2/media/0.mp4", media=clip)]
    )
    (folder / "media").mkdir()
    (folder / "media/0.mp4").write_bytes(clip)
    (source,) = find_sources(str(folder))
    (row,) = source.rows()
    assert not isinstance(row, BadSample)
    assert read_media(row) == clip


@pytest.mark.parametrize("shard", ["../other.safetensors", "/etc/passwd", "x\0", 3])
def test_an_index_of_weights_names_no_file_outside(tmp_path: Path, shard: object) -> None:
    tiny_model(config=TINY).save_pretrained(tmp_path / "model")
    file = tmp_path / "model/model.safetensors"
    file.rename(tmp_path / "other.safetensors")
    index = {"metadata": {}, "weight_map": {"x": shard}}
    (tmp_path / "model/model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"not in their own folder|not an index"):
        STDiT2.from_pretrained(tmp_path / "model")
