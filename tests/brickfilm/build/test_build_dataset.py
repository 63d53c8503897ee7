"""The main job on a small real film: dataset, resume, and what changes when settings change."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from datasets import Video, get_dataset_config_names, load_dataset

from brickfilm import BrickfilmDataset, FolderSource, FrameSampler, Keep, SceneSplitter
from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.engine.ledger import answers_frame, ledger_frame
from brickfilm.engine.stage import Stage
from brickfilm.errors import UsageError
from brickfilm.stages import ClipWriter
from tests.kit.footage import shots_bytes
from tests.kit.small_build import inline_build


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "a film.mp4"
    path.write_bytes(shots_bytes(30, 24, 40, width=112, height=64, block=8, step=2))
    return path


@pytest.fixture(scope="module")
def built(film: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    work = tmp_path_factory.mktemp("work")
    return build(FolderSource(film), (SceneSplitter(), FrameSampler()), workdir=work)


@pytest.fixture
def again(film: Path, built: BuildResult, tmp_path: Path) -> Callable[..., BuildResult]:
    """Build again in a copy of the finished work folder, with other stages."""
    shutil.copytree(built.dataset.work, tmp_path / "work")

    def build_again(*stages: Stage[Any, Any]) -> BuildResult:
        return inline_build(FolderSource(film), *stages, workdir=tmp_path / "work")

    return build_again


def rows(dataset: BrickfilmDataset, config: str) -> list[dict[str, object]]:
    return [row for split in dataset[config].values() for row in split]


def test_every_shot_is_a_clip_with_its_image(built: BuildResult) -> None:
    assert built.exit_code == 0
    spans = [(row["start_frame"], row["end_frame"]) for row in rows(built.dataset, "clips")]
    assert spans == [(0, 30), (30, 54), (54, 94)]
    assert [row["id"][-7:] for row in rows(built.dataset, "images")] == [
        f"f{first + (last - first - 1) // 2:06d}" for first, last in spans
    ]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_saved_folder_loads_with_exactly_the_planned_frames(
    built: BuildResult, streaming: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = str(built.dataset.work / "dataset")
    clips = load_dataset(folder, split="train", streaming=streaming, cache_dir=str(tmp_path))
    for row in clips.cast_column("video", Video(decode=False)):
        with av.open(io.BytesIO(row["video"]["bytes"])) as container:
            frames = sum(1 for _ in container.decode(video=0))
        assert frames == row["num_frames"]
        assert row["fps_num"] / row["fps_den"] == row["fps"] == 24
    images = load_dataset(folder, "images", streaming=streaming, cache_dir=str(tmp_path))
    assert [image["image"].size for image in images["train"]] == [(112, 64)] * 3


def test_another_dataset_is_not_served_from_the_cache_of_the_first(
    built: BuildResult, again: Callable[..., BuildResult], tmp_path: Path
) -> None:
    fewer = again(SceneSplitter(min_frames=26), FrameSampler())
    for config in ("clips", "images"):
        sizes = [
            len(load_dataset(str(folder), config, split="train", cache_dir=str(tmp_path / "cache")))
            for folder in (built.dataset.work / "dataset", fewer.dataset.work / "dataset")
        ]
        assert sizes == [3, 2]


def test_a_second_run_does_nothing_and_gives_the_same_bytes(
    built: BuildResult, again: Callable[..., BuildResult]
) -> None:
    second = again(SceneSplitter(), FrameSampler())
    before, after = built.dataset.work, second.dataset.work
    assert answers_frame(after).equals(answers_frame(before))
    for saved in (before / "dataset").rglob("*.parquet"):
        assert (after / saved.relative_to(before)).read_bytes() == saved.read_bytes()


def test_a_threshold_on_the_shots_scans_nothing_again(again: Callable[..., BuildResult]) -> None:
    changed = again(SceneSplitter(min_frames=26), FrameSampler())
    answers = answers_frame(changed.dataset.work)
    assert set(answers.answers) == {1, 3}  # one film scanned once, the three spans it had
    outcomes = ledger_frame(changed.dataset.work)
    (short,) = outcomes[outcomes.outcome == "rejected"].to_dict("records")
    assert (short["reason"], short["kind"], short["seconds"]) == ("too short", "clip", 1.0)
    assert "all footage" in changed.dataset.report_path.read_text()


def test_another_encoder_setting_takes_no_still_again(again: Callable[..., BuildResult]) -> None:
    changed = again(SceneSplitter(), ClipWriter(crf=22), FrameSampler())
    answers = answers_frame(changed.dataset.work)
    assert sorted(answers[answers.name == "ClipWriter"].answers) == [3, 3]
    assert list(answers[answers.name == "FrameSampler"].answers) == [3]


def test_whose_films_they_are_is_in_every_row_and_asks_nothing_again(
    film: Path, built: BuildResult, tmp_path: Path
) -> None:
    shutil.copytree(before := built.dataset.work, work := tmp_path / "work")
    source = FolderSource(film, licence="CC BY 4.0", uploader="the makers")
    told = inline_build(source, SceneSplitter(), FrameSampler(), workdir=work).dataset
    for config in told:
        names = {(row["licence"], row["uploader"]) for row in rows(told, config)}
        assert names == {("CC BY 4.0", "the makers")}
    assert set(load_dataset(str(work / "dataset"), split="train")["licence"]) == {"CC BY 4.0"}
    assert answers_frame(work).equals(answers_frame(before))


def test_what_keep_drops_is_never_encoded(film: Path, tmp_path: Path) -> None:
    stages = (SceneSplitter(), Keep("num_frames", at_least=30), FrameSampler())
    kept = inline_build(FolderSource(film), *stages, workdir=tmp_path)
    assert len(rows(kept.dataset, "clips")) == 2
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == 2


def test_bad_films_do_not_stop_the_good_one(film: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(film, films / "gut\nund schön 映画.mp4")
    shutil.copy(film, films / "the same again.mp4")
    (films / "empty.mp4").touch()
    (films / "text.mp4").write_text("not a film at all\n" * 99)
    (films / "half.mp4").write_bytes(film.read_bytes()[:2000])
    stages = (SceneSplitter(), FrameSampler())
    built = inline_build(FolderSource(films), *stages, workdir=tmp_path / "w")
    assert built.exit_code == 1
    assert len(rows(built.dataset, "clips")) == 3
    assert built.dataset.incomplete
    frame = ledger_frame(tmp_path / "w")
    failed = frame[frame.outcome == "failed"]
    assert sorted(failed.item) == ["empty.mp4", "half.mp4", "text.mp4"]
    assert all(failed.message.str.len() > 10)


@pytest.mark.slow
def test_a_name_that_is_no_text_is_written_as_its_bytes(film: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(film, films / os.fsdecode(b"bad \xff name.mp4"))
    (films / os.fsdecode(b"empty \xff.mp4")).touch()
    stages = (SceneSplitter(), FrameSampler())
    built = inline_build(FolderSource(films), *stages, workdir=tmp_path / "w")
    assert {row["source_id"] for row in rows(built.dataset, "clips")} == {r"bad \xff name.mp4"}
    assert built.exit_code == 1


@pytest.mark.slow
def test_a_config_without_rows_has_columns_and_is_not_saved(film: Path, tmp_path: Path) -> None:
    built = inline_build(FolderSource(film), SceneSplitter(), workdir=tmp_path / "w")
    assert {"id", "clip_id", "image", "caption"} <= set(built.dataset["images"]["train"].features)
    assert get_dataset_config_names(str(tmp_path / "w/dataset")) == ["clips"]
    assert len(load_dataset(str(tmp_path / "w/dataset"), split="train")) == len(
        built.dataset["clips"]["train"]
    )


def test_a_build_that_keeps_nothing_is_saved_and_exits_with_1(film: Path, tmp_path: Path) -> None:
    stages = (SceneSplitter(), Keep("height", at_least=9999), FrameSampler())
    built = inline_build(FolderSource(film), *stages, workdir=tmp_path / "w")
    assert built.exit_code == 1
    assert [len(built.dataset[config]["train"]) for config in built.dataset] == [0, 0]
    assert "0 clips" in (tmp_path / "w/dataset/README.md").read_text()


def test_nothing_to_build_gives_an_empty_dataset(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    with pytest.raises(UsageError, match="films"):
        build(FolderSource(tmp_path / "films"), (SceneSplitter(),), workdir=tmp_path / "w")


@pytest.mark.slow
def test_the_command_line_builds_says_where_and_exits_with_the_outcome(
    film: Path, tmp_path: Path
) -> None:
    def brickfilm(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "brickfilm", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    out = tmp_path / "out"
    dry = brickfilm("build", str(film), "--out", str(out), "--captions", "none", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "3 to do" in dry.stdout
    assert not (out / "clips").exists()
    real = brickfilm("build", str(film), "--out", str(out), "--captions", "none")
    assert real.returncode == 0, real.stderr
    assert str(out / "dataset") in real.stdout
    status = brickfilm("status", str(out))
    assert "SceneSplitter" in status.stdout
    wrong = brickfilm("build", str(film), "--out", str(out), "--captions", "sidecars")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: --captions 'sidecars'")
    assert "Traceback" not in wrong.stderr
