"""Asynchronous checkpoints hold exactly the state of their step, and never hide an error."""

from __future__ import annotations

import importlib.util
import json
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.config import Checkpoints, Recipe
from finetune.data.cache import build_cache
from finetune.errors import CheckpointError
from finetune.training import checkpoint
from finetune.training.checkpoint_folders import (
    checkpoint_folder,
    latest_checkpoint,
    verify_checkpoint,
)
from finetune.training.loop import train
from tests.finetune.conftest import MakeRecipe
from tests.kit.ranks import train_in_ranks

EVERY_TWO = Checkpoints(every=2, keep_last=0)
ASYNCHRONOUS = replace(EVERY_TWO, asynchronous=True)
PATIENCE = 60  # seconds for a step of milliseconds


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    made = make_recipe(checkpoints=EVERY_TWO)
    build_cache(made)
    return made


def digests(recipe: Recipe, step: int) -> Any:
    """Return sizes and digests of a checkpoint's files, and the random states."""
    manifest = verify_checkpoint(checkpoint_folder(Path(recipe.out), step))
    return manifest["files"], manifest["rng"], manifest["position"]


def test_steps_go_on_while_the_files_of_a_checkpoint_are_written(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer of step 2 waits for step 3, and still writes step 2, as the manifest says."""
    train(recipe)
    beside = replace(recipe, out=str(tmp_path / "beside"), checkpoints=ASYNCHRONOUS)
    metrics, original, waited = Path(beside.out) / "metrics.jsonl", checkpoint.save_file, []

    def late(tensors: Any, file: Path) -> None:
        end = time.monotonic() + PATIENCE
        steps = 3 if "step-00000002" in str(file) else 4
        while metrics.read_text().count("\n") < steps:
            assert time.monotonic() < end, "the training waits for the writer"
            time.sleep(0.01)
        waited.append(file)
        original(tensors, file)

    monkeypatch.setattr(checkpoint, "save_file", late)
    train(beside)
    assert len(waited) == 8  # weights, EMA and two moments of two checkpoints
    assert digests(beside, 2) == digests(recipe, 2)
    assert digests(beside, 4) == digests(recipe, 4)
    monkeypatch.undo()
    again = replace(beside, out=str(tmp_path / "again"))
    train(replace(again, steps=2))
    train(replace(again, checkpoints=EVERY_TWO), resume="auto")  # either kind resumes the other
    assert digests(again, 4)[0] == digests(recipe, 4)[0]


def test_a_full_disk_ends_the_run_and_keeps_the_last_good_checkpoint(
    recipe: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    train(replace(recipe, steps=2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"last good one is .*step-00000002"):
            train(replace(recipe, checkpoints=ASYNCHRONOUS), resume="auto")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "could not be written" in caplog.text  # when it happens, not only at the next one
    assert latest_checkpoint(Path(recipe.out)) == checkpoint_folder(Path(recipe.out), 2)


@pytest.mark.soak
@pytest.mark.skipif(
    importlib.util.find_spec("torch.distributed.fsdp") is None or torch.__version__ < "2.6",
    reason="torch 2.5 has FSDP2 on GPUs alone",
)
def test_sharded_ranks_complete_a_checkpoint_in_their_threads(
    recipe: Recipe, tmp_path: Path
) -> None:
    two = replace(recipe, strategy="fsdp2", steps=2, out=str(tmp_path / "sync"))
    small = Checkpoints(every=1, shard_mib=1, keep_last=0)  # several files for each rank
    train_in_ranks(replace(two, checkpoints=small))
    beside = replace(two, out=str(tmp_path / "async"))
    train_in_ranks(replace(beside, checkpoints=replace(small, asynchronous=True)))
    assert [digests(beside, step)[:2] for step in (1, 2)] == [
        digests(two, step)[:2] for step in (1, 2)
    ]
    manifest = json.loads((checkpoint_folder(Path(two.out), 1) / "manifest.json").read_text())
    assert manifest["world"] == 2
