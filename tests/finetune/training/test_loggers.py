"""Figures reach whoever listens, and nobody has to."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import os
import pickle
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageSequence

from finetune.config import Log, Recipe
from finetune.data.media import write_video
from finetune.errors import ConfigError
from finetune.training.loggers import TRACKER_ID_FILE, LoggedVideo, open_logger, read_metrics
from tests.finetune.conftest import MakeRecipe

FIGURES = {"loss": 0.5, "clips_s": 2.0}
MOVING = torch.arange(0, 250, 50, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, 24, 32)


def logged(recipe: Recipe) -> Path:
    """Two steps and a video, given to the recipe's loggers; the run's folder."""
    logger = open_logger(recipe, 0)
    file = Path(recipe.out) / "moving.mp4"
    write_video(file, MOVING, 4)
    logger.log(1, FIGURES, {"sample/0": LoggedVideo(file, MOVING, 4)})
    logger.log(2, {**FIGURES, "loss": 0.25})
    logger.close()
    return Path(recipe.out)


@pytest.mark.parametrize("name", ["none", "tensorboard"])
def test_every_run_writes_a_line_a_step(make_recipe: MakeRecipe, name: str) -> None:
    out = logged(make_recipe(log=Log(to=name)))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 0.5), (2, 0.25)]


def test_a_run_writes_plain_lines(
    make_recipe: MakeRecipe,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's, which a user has not
    out = Path(make_recipe().out)
    logger = open_logger(make_recipe(steps=1000), 0)
    for step in range(1, 4):
        logger.log(step, FIGURES)
    logging.getLogger("finetune.data").warning("skipped a sample")
    logger.close()
    lines = [line[9:] for line in (out / "log.txt").read_text().splitlines()]
    assert lines[0].startswith("step 1 of 1,000  loss 0.5000  2.00 clips/s  ")
    assert lines[0].endswith(" left")
    assert (out / "log.txt").read_text().splitlines()[1] == "WARNING skipped a sample"
    assert lines[2].startswith("step 3 of 1,000")
    printed = capsys.readouterr().err
    assert "step 1 of 1,000  loss 0.5000" in printed
    assert printed.count("skipped a sample\n") == 1


def test_steps_that_are_run_again_stand_once(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    logged(recipe)
    logger = open_logger(recipe, 1)  # resumed after step 1
    logger.log(2, FIGURES)
    logger.close()
    lines = (Path(recipe.out) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [0.5, 0.5]


def test_a_line_cut_short_is_dropped_when_a_run_goes_on(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    file = logged(recipe) / "metrics.jsonl"
    with file.open("ab") as stream:
        stream.write(b'{"step": 3, "loss": NaN}\n7\n{"step": 4, "lo')
    logger = open_logger(recipe, 3)
    logger.log(4, FIGURES)
    logger.close()
    lines = file.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]
    assert [line["step"] for line in read_metrics(file)] == [1, 2, 3, 4]


def test_tensorboard_holds_the_figures(make_recipe: MakeRecipe) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = logged(make_recipe(log=Log(to="tensorboard")))
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 0.5), (2, 0.25)]


def test_tensorboard_shows_steps_that_are_run_again_once(make_recipe: MakeRecipe) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = make_recipe(log=Log(to="tensorboard"))
    logged(recipe)
    time.sleep(1.1)  # event files are named, and read in order, by the second
    logger = open_logger(recipe, 1)  # resumed after step 1
    logger.log(2, FIGURES)
    logger.close()
    events = EventAccumulator(str(Path(recipe.out) / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 0.5), (2, 0.5)]


def test_tensorboard_shows_the_videos_moving(make_recipe: MakeRecipe) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(logged(make_recipe(log=Log(to="tensorboard"))) / "tensorboard"))
    events.Reload()
    (shown,) = events.Images("sample/0")
    assert (shown.step, shown.width, shown.height) == (1, 32, 24)
    with Image.open(io.BytesIO(shown.encoded_image_string)) as gif:
        pictures = [frame.convert("RGB") for frame in ImageSequence.Iterator(gif)]
        assert gif.info["duration"] == 250
    greys = [picture.getpixel((0, 0)) for picture in pictures]
    assert greys == [(value, value, value) for value in range(0, 250, 50)]


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("wandb"), reason="pip install wandb")
def test_wandb_takes_the_figures_offline_and_continues_its_run(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    recipe = make_recipe(log=Log(to="wandb", project="toy"))
    out = logged(recipe)
    (video,) = tmp_path.glob("wandb/offline-run-*/files/media/videos/sample/0_*.mp4")
    assert video.read_bytes() == (tmp_path / "run" / "moving.mp4").read_bytes()
    begun = (out / TRACKER_ID_FILE).read_text()
    open_logger(recipe, 2).close()  # resumed
    open_logger(recipe, 0).close()  # begun anew
    ids = Counter(p.name.rpartition("-")[2] for p in tmp_path.glob("wandb/offline-run-*"))
    assert ids == {begun: 2, (out / TRACKER_ID_FILE).read_text(): 1}
    importlib.import_module("wandb").teardown()  # writes what it holds
    runs = [run.read_bytes() for run in tmp_path.glob(f"wandb/offline-run-*/run-{begun}.wandb")]
    assert any(b"clips_s" in content for content in runs)


def trackio_runs(recipe: Recipe) -> None:
    """Log two steps and a video, resume after step 2 for a third, and begin anew."""
    logged(recipe)
    resumed = open_logger(recipe, 2)
    resumed.log(3, {**FIGURES, "loss": 0.125})
    resumed.close()
    anew = open_logger(recipe, 0)
    anew.log(1, FIGURES)
    anew.close()


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("trackio"), reason="pip install trackio")
def test_trackio_takes_the_figures_here_and_continues_its_run(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """In a process of its own: trackio reads TRACKIO_DIR as it is imported."""
    recipe = make_recipe(log=Log(to="trackio", project="toy"))
    script = "import sys, pickle; from tests.finetune.training.test_loggers import trackio_runs; "
    script += "trackio_runs(pickle.load(sys.stdin.buffer))"
    subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps(recipe),
        env={**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1"},
        check=True,
        timeout=120,
    )
    with closing(sqlite3.connect(tmp_path / "trackio" / "toy.db")) as base:
        rows = base.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
    first, second = dict.fromkeys(name for name, *_ in rows)  # resumed in the same run
    found = [(name, step, json.loads(values)["loss"]) for name, step, values in rows]
    assert found == [(first, 1, 0.5), (first, 2, 0.25), (first, 3, 0.125), (second, 1, 0.5)]
    (video,) = (tmp_path / "trackio" / "media").rglob("*.mp4")
    assert video.read_bytes() == (tmp_path / "run" / "moving.mp4").read_bytes()


def test_a_logger_that_is_not_installed_is_named(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ConfigError, match=r"'trackio'.*install it, or choose another"):
        open_logger(make_recipe(log=Log(to="trackio")), 0)
