"""A valid dataset has no problems, and every kind of damage is reported by its name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Video, load_dataset

from brickfilm.dataset import config_features
from brickfilm.dataset.reader import CorruptDatasetError, find_dataset
from brickfilm.dataset.validate import validate
from brickfilm.hub.publish import PushOptions, push_to_hub
from brickfilm.hub.removal import RemovalRequest, remove
from tests.kit.servers.hub import HubServer
from tests.kit.toy_dataset import toy_dataset, write_clip

Rows = list[dict[str, Any]]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    toy_dataset(tmp_path, videos=3, clips=2)
    return tmp_path


def damage(work: Path, change: Callable[[Rows], Rows], config: str = "clips") -> None:
    path = next((work / "dataset" / config).glob("train-*.parquet"))
    table = pq.read_table(path)
    rows = change(table.to_pylist())
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def first(**values: object) -> Callable[[Rows], Rows]:
    return lambda rows: [{**rows[0], **values}, *rows[1:]]


def problems(work: Path) -> dict[str, int]:
    return dict(validate(find_dataset(work), workers=1).problems)


@pytest.mark.slow
def test_a_valid_dataset_has_no_problems(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brickfilm.dataset.validate.MIN_BYTES_FOR_POOL", 0)
    report = validate(find_dataset(work), workers=2)
    assert report.is_valid, report.problems
    assert report.rows == 12
    assert report.rows_per_second > 0


@pytest.mark.slow
def test_a_script_needs_no_guard_around_it(work: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from brickfilm.dataset import validate as v\n"
        "from brickfilm.dataset.reader import find_dataset\n"
        "v.MIN_BYTES_FOR_POOL = 0\n"
        f"assert v.validate(find_dataset({str(work)!r}), workers=2).is_valid\n"
    )
    subprocess.run([sys.executable, str(script)], check=True)


@pytest.mark.slow
def test_a_published_dataset_is_checked_on_the_hub(
    hub: HubServer, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brickfilm.dataset.validate.MIN_BYTES_FOR_POOL", 0)
    push_to_hub(work, PushOptions(repo_id="maker/x"))
    assert validate(find_dataset("maker/x"), workers=2).is_valid


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (first(video={"bytes": b"not a video", "path": "x.mp4"}), "clips: video does not decode"),
        (first(video=None), "clips: no video"),
        (first(sha256="0" * 64), "clips: bytes differ from sha256"),
        (first(num_frames=21, end_frame=21), "clips: another number of frames than num_frames"),
        (first(num_frames=21), "clips: num_frames is not end_frame - start_frame"),
        (first(width=66, aspect_ratio=48 / 66, resolution=48 * 66), "clips: another size than"),
        (first(fps_num=12), "clips: another duration than num_frames / fps"),
        (first(fps=25.0), "clips: fps is not fps_num / fps_den"),
        (first(fps_den=0), "clips: fps is not fps_num / fps_den"),
        (first(fps_num=None), "clips: no value in 'fps_num'"),
        (first(id=None), "clips: no value in 'id'"),
        (first(caption_status=None), "clips: no value in 'caption_status'"),
        (first(video={"bytes": None, "path": "gone.mp4"}), "clips: no video"),
        (first(caption=""), "clips: empty caption"),
        (first(resolution=1), "clips: wrong aspect_ratio or resolution"),
        (lambda rows: [*rows, rows[0]], "clips: id appears twice"),
    ],
)
def test_every_kind_of_damage_is_named(
    work: Path, change: Callable[[Rows], Rows], problem: str
) -> None:
    damage(work, change)
    found = problems(work)
    assert [n for what, n in found.items() if what.startswith(problem)] == [1], found


def test_a_clip_cut_short_is_found(work: Path, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "long.mp4", seed="x", frames=90)
    damage(work, first(video={"bytes": whole[: len(whole) * 2 // 3], "path": "x.mp4"}))
    found = problems(work)
    assert "clips: bytes differ from sha256" in found
    assert found.keys() & {
        "clips: video does not decode",
        "clips: another number of frames than num_frames",
    }


def test_a_leak_between_splits_is_found(work: Path) -> None:
    test_id = find_dataset(work).to_pandas("clips").query("split == 'test'").id.iloc[0]
    damage(work, first(id=f"{test_id.split('-')[0]}-000777-000797"))
    assert problems(work)["clips: video in more than one split"] == 1
    damage(work, first(near_duplicate_group=test_id))
    assert problems(work)["clips: near-duplicate group in more than one split"] == 1


def test_a_broken_still_is_found(work: Path) -> None:
    damage(work, first(image={"bytes": b"no picture", "path": None}), "images")
    assert problems(work) == {
        "images: bytes differ from sha256": 1,
        "images: image does not decode": 1,
    }


@pytest.mark.parametrize(
    ("column", "kind", "problem"),
    [
        ("num_frames", pa.string(), "is string, should be int64"),
        ("fps", pa.string(), "is string, should be double"),
        ("score_motion", pa.string(), "is string, should be double"),
    ],
)
def test_a_column_of_another_type_is_named(
    work: Path, column: str, kind: pa.DataType, problem: str
) -> None:
    path = next((work / "dataset/clips").glob("train-*.parquet"))
    table = pq.read_table(path)
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, table[column].cast(kind)), path)
    assert problems(work) == {f"clips: column {column!r} {problem}": 1}


def test_a_file_that_was_cut_short_is_named(work: Path) -> None:
    path = next((work / "dataset/clips").glob("test-*.parquet"))
    path.write_bytes(path.read_bytes()[:3000])
    assert problems(work) == {f"clips: clips/{path.name} cannot be read": 1}
    with pytest.raises(CorruptDatasetError, match=f"{path.name} .*cannot be read"):
        push_to_hub(work, PushOptions(repo_id="maker/x"))


def test_a_missing_column_is_named(work: Path) -> None:
    path = next((work / "dataset/clips").glob("train-*.parquet"))
    pq.write_table(pq.read_table(path).drop_columns(["licence"]), path)
    assert problems(work)["clips: no column 'licence'"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("removed", [False, True])
def test_an_empty_dataset_keeps_its_columns_and_is_reported(tmp_path: Path, removed: bool) -> None:
    toy_dataset(tmp_path, videos=1 + removed, clips=int(removed))
    if removed:
        for uploader in ("ada", "grace"):
            remove(tmp_path, RemovalRequest("uploader", uploader))
    assert problems(tmp_path) == {"no rows: all clips were dropped or removed": 1}
    streamed = load_dataset(str(tmp_path / "dataset"), split="train", streaming=True)
    assert list(streamed) == []
    assert set(config_features("clips", [])) <= set(streamed.features)
    assert isinstance(streamed.features["video"], Video)
    # `datasets` makes no table of a split without rows, whatever is done about it
    with pytest.raises(ValueError, match="no data"):
        load_dataset(str(tmp_path / "dataset"), split="train")
