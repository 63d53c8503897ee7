"""Figures reach whoever listens, and nobody has to."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from finetune import monitor
from finetune.config import Log, Recipe
from finetune.errors import ConfigError
from finetune.log import open_logger
from finetune.monitor import NoMonitor, monitor_for
from tests.finetune.conftest import MakeRecipe

FIGURES = {"loss": 0.5, "clips_s": 2.0}


def logged(recipe: Recipe) -> Path:
    """Two steps and a video, given to the recipe's loggers; the run's folder."""
    logger = open_logger(recipe, 0)
    logger.log(1, FIGURES)
    logger.log(2, {**FIGURES, "loss": 0.25})
    logger.close()
    return Path(recipe.out)


@pytest.mark.parametrize("name", ["none", "tensorboard"])
def test_every_run_writes_a_line_a_step(make_recipe: MakeRecipe, name: str) -> None:
    out = logged(make_recipe(log=Log(to=name)))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 0.5), (2, 0.25)]


def test_steps_that_are_run_again_stand_once(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    logged(recipe)
    logger = open_logger(recipe, 1)  # resumed after step 1
    logger.log(2, FIGURES)
    logger.close()
    lines = (Path(recipe.out) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [0.5, 0.5]


def test_tensorboard_holds_the_figures(make_recipe: MakeRecipe) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = logged(make_recipe(log=Log(to="tensorboard")))
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 0.5), (2, 0.25)]


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("wandb"), reason="wandb is not installed")
def test_wandb_takes_the_figures_offline(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    logged(make_recipe(log=Log(to="wandb", project="toy")))
    (run,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert b"clips_s" in run.read_bytes()


def test_a_logger_that_is_not_installed_is_named(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ConfigError, match=r"'trackio'.*install it, or choose another"):
        open_logger(make_recipe(log=Log(to="trackio")), 0)


def test_a_machine_is_read_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psutil")
    read = monitor_for(torch.device("cpu")).read()
    assert {"cpu_percent", "disk_read_mib_s", "net_in_mib_s"} <= set(read)
    assert not [name for name in read if name.startswith("gpu")]
    monkeypatch.setattr(monitor, "_host", NoMonitor)
    assert monitor_for(torch.device("cpu")).read() == {}


def test_a_gpu_that_cannot_be_asked_says_nothing() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU that can be asked")
    assert monitor._gpu(torch.device("cuda", 0)).read() == {}
