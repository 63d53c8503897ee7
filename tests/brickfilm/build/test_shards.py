"""Merged shards are the build of one machine; money is divided and never spent twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brickfilm import FolderSource, FrameSampler, SceneSplitter, build_dataset
from brickfilm.build.build_dataset import build, with_kept_settings
from brickfilm.build.merge import merge_shards
from brickfilm.build.shards import ShardedSource, build_shard, with_budget_share
from brickfilm.detectors import HoldAware, JointDetector
from brickfilm.detectors.by_name import DETECTORS_BY_NAME
from brickfilm.engine.build_shard import BuildShard
from brickfilm.engine.ledger import (
    CaptionEdit,
    Ledger,
    ledger_frame,
    read_records,
    save_edits,
    spend_frame,
)
from brickfilm.engine.stage import Stage
from brickfilm.errors import Failed, UsageError
from brickfilm.hub.removal import RemovalRequest, remove
from tests.kit.inline_executor import InlineExecutor
from tests.kit.small_build import two_shots
from tests.kit.toy_stages import Names, Say, lines

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos, one of them under two names, and a file that is none."""
    folder = tmp_path_factory.mktemp("films")
    for seed, name in enumerate(NAMES):
        two_shots(folder / f"{name}.mp4", seed=seed, size=(96, 64))
    (folder / "twin.mp4").write_bytes((folder / "a.mp4").read_bytes())
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def stages(log: Path | None = None, **say: Any) -> Sequence[Stage[Any, Any]]:
    return (SceneSplitter(), FrameSampler(), Say(log=log, **say))


def shards_of(films: Path, work: Path, count: int, log: Path | None = None, **say: Any) -> None:
    for index in range(count):
        build_shard(
            FolderSource(films),
            stages(log, **say),
            shard=BuildShard(count, index),
            workdir=work,
            executor=InlineExecutor(),
        )


def rows(work: Path) -> dict[str, pa.Table]:
    """Return the saved rows, media included, by the path of their file."""
    dataset = work / "dataset"
    return {
        str(p.relative_to(dataset)): pq.read_table(p) for p in sorted(dataset.rglob("*.parquet"))
    }


def results(work: Path) -> list[tuple[Any, ...]]:
    frame = ledger_frame(work).drop(columns="message")
    return sorted(frame.itertuples(index=False, name=None))


@pytest.mark.slow
def test_merged_shards_are_the_build_of_one_machine(films: Path, tmp_path: Path) -> None:
    one, work, log = tmp_path / "one", tmp_path / "work", tmp_path / "log"
    build(FolderSource(films), stages(), workdir=one, executor=InlineExecutor())
    shards_of(films, work, 3, log)
    paid = len(lines(log))
    merged = merge_shards(FolderSource(films), stages(log), workdir=work)
    assert rows(work) == rows(one)
    assert results(work) == results(one)
    assert read_records(work).keys() == read_records(one).keys()
    assert merged.exit_code == 1  # of the file that is no video, with the shard's own reason
    assert "not built" not in {result.reason for result in merged.item_results}
    assert len(lines(log)) == paid == spend_frame(work).requests.sum()
    merge_shards(FolderSource(films), stages(log), workdir=work)
    assert rows(work) == rows(one)
    assert spend_frame(work).requests.sum() == paid


@pytest.mark.slow
def test_a_merged_folder_goes_on_alone_and_in_other_shards(films: Path, tmp_path: Path) -> None:
    work, log = tmp_path / "work", tmp_path / "log"
    shards_of(films, work, 2, log)
    with pytest.raises(UsageError, match=r"has 2 shards, not 3.*delete.*--shard i/3"):
        shards_of(films, work, 3, log)
    with pytest.raises(UsageError, match=r"built in 2 shards.*brickfilm merge"):
        build_dataset(str(films), *stages(log), workdir=work)
    merge_shards(FolderSource(films), stages(log), workdir=work)
    before, paid = rows(work), len(lines(log))
    (work / "shards").rename(tmp_path / "old")
    build(FolderSource(films), stages(log), workdir=work, executor=InlineExecutor())
    shards_of(films, work, 3, log)
    merge_shards(FolderSource(films), stages(log), workdir=work)
    assert rows(work) == before
    assert len(lines(log)) == paid == spend_frame(work).requests.sum()


@pytest.mark.slow
def test_builds_made_apart_merge_to_one(films: Path, tmp_path: Path) -> None:
    one, work = tmp_path / "one", tmp_path / "work"
    halves = {"x": ("a", "b"), "y": ("c",)}
    for folder, names in halves.items():
        source = FolderSource(*(films / f"{name}.mp4" for name in names))
        build(source, stages(), workdir=tmp_path / folder, executor=InlineExecutor())
    whole = FolderSource(*(films / f"{name}.mp4" for name in NAMES))
    build(whole, stages(), workdir=one, executor=InlineExecutor())
    merge_shards(whole, stages(), workdir=work, folders=[tmp_path / name for name in halves])
    assert rows(work) == rows(one)


@pytest.mark.slow
def test_what_a_merge_cannot_join_is_named(films: Path, tmp_path: Path) -> None:
    source, work = FolderSource(films), tmp_path / "work"
    with pytest.raises(UsageError, match="no shards: build them with --shard"):
        merge_shards(source, stages(), workdir=work)
    build_shard(source, stages(), shard=BuildShard(2, 0), workdir=work, executor=InlineExecutor())
    with pytest.raises(UsageError, match=r"shards 1/2 of .* were not built.*--partial"):
        merge_shards(source, stages(), workdir=work)
    with pytest.raises(UsageError, match=r"built with Say\(words='bricks'\).*Say\(words='stones'"):
        merge_shards(source, stages(words="stones"), workdir=work, partial=True)
    merged = merge_shards(source, stages(), workdir=work, partial=True)
    missing = [r for r in merged.item_results if r.reason == "not built"]
    assert missing
    assert all(BuildShard(2, 1).owns(result.source_id) for result in missing)


@pytest.mark.slow
def test_damaged_media_of_a_shard_are_written_anew(films: Path, tmp_path: Path) -> None:
    work, log = tmp_path / "work", tmp_path / "log"
    shards_of(films, work, 2, log)
    clip = next(work.glob("shards/*/clips/*.mp4"))
    clip.write_bytes(b"damage")
    with pytest.raises(UsageError, match=f"1 media files.*build .*{clip.parents[1].name}.* again"):
        merge_shards(FolderSource(films), stages(log), workdir=work)
    shards_of(films, work, 2, log)
    merge_shards(FolderSource(films), stages(log), workdir=work)
    assert len(lines(log)) == spend_frame(work).requests.sum()


@pytest.mark.slow
def test_edits_and_removals_of_the_whole_reach_the_next_merge(films: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shards_of(films, work, 2)
    merge_shards(FolderSource(films), stages(), workdir=work)
    first = rows(work)["clips/train-00000-of-00001.parquet"].to_pylist()
    kept = next(row for row in first if row["source_id"] == "c.mp4")
    save_edits(work, [CaptionEdit(item=kept["id"], caption="A tower.")])
    remove(work, RemovalRequest("source", "b.mp4"))
    for folder in (work, *work.glob("shards/*-of-2")):
        saved = "".join(json.dumps(t["source_id"].to_pylist()) for t in rows(folder).values())
        assert "b.mp4" not in saved
    shards_of(films, work, 2)
    merge_shards(FolderSource(films), stages(), workdir=work)
    captions = {
        row["id"]: row["caption"]
        for name, table in rows(work).items()
        if name.startswith("clips")
        for row in table.to_pylist()
    }
    assert captions[kept["id"]] == "A tower."
    assert not [row for row in first if row["source_id"] == "b.mp4" and row["id"] in captions]


# -- shares --------------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", ["shards/0-of-2", "."])
def test_a_new_shard_has_the_settings_of_the_build_that_was_begun(
    begun: str, tmp_path: Path
) -> None:
    with Ledger(tmp_path / begun) as ledger, ledger.transaction():
        ledger.put(HoldAware().digest, "key", {"data": ""})
    new, other = (BuildShard(2, 1).folder(tmp_path / name) for name in (".", "other"))
    assert detector_and_measures(new) == ("holds", "first")
    assert detector_and_measures(other) == ("layout", "default")


def test_shards_of_an_older_rule_merge_though_the_first_is_empty(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = next(f"{n}.mp4" for n in NAMES if BuildShard(2, 1).owns(f"{n}.mp4"))
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / name).write_bytes((films / name).read_bytes())
    source, work = FolderSource(tmp_path / "films"), tmp_path / "work"
    newest = DETECTORS_BY_NAME["layout"]()
    assert isinstance(newest, JointDetector)
    with monkeypatch.context() as older:
        older.setitem(DETECTORS_BY_NAME, "layout", lambda: replace(newest, rule=2))
        shards_of(tmp_path / "films", work, 2)
        merge_shards(source, stages(), workdir=work)
    first = rows(work)
    merge_shards(source, stages(), workdir=work)
    shards_of(tmp_path / "films", work, 2)
    merge_shards(source, stages(), workdir=work)
    assert first and rows(work) == first


def detector_and_measures(work: Path) -> tuple[str, str]:
    (splitter,) = with_kept_settings([SceneSplitter()], work)
    assert isinstance(splitter, SceneSplitter)
    return splitter.shot_detector, splitter.measure_set


def test_every_item_belongs_to_one_shard() -> None:
    source = Names([f"video {n}" for n in range(300)])
    parts = [
        [i.source_id for i in ShardedSource(source, BuildShard(7, n)).items()] for n in range(7)
    ]
    assert sorted(name for part in parts for name in part) == sorted(source.names)
    assert min(map(len, parts)) > 20
    assert BuildShard(2, 0).owns("video 1") != BuildShard(2, 1).owns("video 1")


@pytest.mark.parametrize("text", ["", "1", "4/4", "-1/4", "1/0", "a/b", "1/2/3"])
def test_a_shard_that_does_not_exist_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"i/n|from 0 to n-1"):
        BuildShard.parse(text)


def test_a_budget_is_divided() -> None:
    assert with_budget_share(Say(max_cost_usd=20.0), 8) == Say(max_cost_usd=2.5)
    shared = with_budget_share(Say(max_cost_usd=20.0), 8)
    assert shared.max_cost_usd == 2.5
    assert with_budget_share(Say(), 8).max_cost_usd is None


@pytest.mark.slow
def test_all_shards_together_stay_below_the_budget(films: Path, tmp_path: Path) -> None:
    work, log = tmp_path / "work", tmp_path / "log"
    shards_of(films, work, 2, log, max_cost_usd=0.08)  # 0.04 a shard: a claim is 0.02, a clip 0.01
    merged = merge_shards(FolderSource(films), stages(log, max_cost_usd=0.08), workdir=work)
    assert spend_frame(work).settled.sum() <= 0.08
    assert {r.reason for r in merged.item_results if r.status == "waiting"} == {"budget"}
    (work / "shards").rename(tmp_path / "old")  # the next shards know what was spent
    shards_of(films, work, 4, log, max_cost_usd=0.08)
    merge_shards(FolderSource(films), stages(log, max_cost_usd=0.08), workdir=work)
    assert spend_frame(work).settled.sum() == pytest.approx(0.01 * len(lines(log)))
    assert spend_frame(work).settled.sum() <= 0.08


def test_an_item_without_a_name_has_a_shard() -> None:
    error = Failed("the list ends early")

    class Broken(Names):
        def items(self) -> Any:
            return iter([error])

    found = [list(ShardedSource(Broken([]), BuildShard(3, n)).items()) for n in range(3)]
    assert sorted(map(len, found)) == [0, 0, 1]
