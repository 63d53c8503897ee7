"""A kill at any change of the file system leaves a complete checkpoint."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch

from finetune.config import Checkpoints, Recipe
from finetune.engines.data_parallel import DataParallel
from finetune.training.checkpoint_folders import list_checkpoints, verify_checkpoint
from finetune.training.checkpoint_writer import CheckpointWriter
from finetune.training.resume import lock_run_folder
from finetune.training.run import new_model
from tests.finetune.conftest import MakeRecipe

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"}


def killed_before_change(number: int, work: Callable[[], object]) -> bool:
    """Run `work` in a fork that is killed before its change of this number; tell if it was."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    changes = count(1)

    def kill(event: str, _arguments: object) -> None:
        if event in CHANGES and next(changes) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    work()
    os._exit(0)


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    return make_recipe()


@pytest.fixture
def engine(recipe: Recipe) -> DataParallel:
    return DataParallel(new_model(recipe), recipe, torch.device("cpu"))


def write_checkpoint(
    out: Path, step: int, engine: DataParallel, tag: str, policy: Checkpoints
) -> None:
    """Write a checkpoint by a run's writer, in its thread if the policy says so."""
    writer = CheckpointWriter(policy)
    writer.save(out, step, engine, {"tag": tag}, {"depth": 1}, lambda _: None)
    writer.wait()
    writer.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "policy"),
    [
        (2, Checkpoints(keep_last=0)),
        (3, Checkpoints(keep_last=1)),
        (3, Checkpoints(keep_last=1, asynchronous=True)),
    ],
    ids=["the same step again", "the next step, the old one pruned", "in a thread"],
)
def test_a_kill_at_any_step_leaves_a_complete_checkpoint(
    step: int, policy: Checkpoints, recipe: Recipe, engine: DataParallel
) -> None:
    out, seen = Path(recipe.out), set[tuple[str, ...]]()
    for number in count(1):
        shutil.rmtree(out, ignore_errors=True)
        write_checkpoint(out, 2, engine, "old", Checkpoints(keep_last=0))
        killed = killed_before_change(
            number, lambda: write_checkpoint(out, step, engine, "new", policy)
        )
        with lock_run_folder(out):
            folders = list_checkpoints(out)
        assert {path.name for path in out.iterdir()} == {".lock", *(f.name for f in folders)}
        seen.add(tuple(verify_checkpoint(folder)["tag"] for folder in folders))
        if not killed:
            break
    assert number > 10
    assert seen == ({("old",), ("new",)} if step == 2 else {("old",), ("old", "new"), ("new",)})
