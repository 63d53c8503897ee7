"""Moments of 8 bits: nearly AdamW's steps, a quarter of its memory, resumed bit for bit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from finetune.config import Adapter, Optimizer, Recipe
from finetune.data.cache import build_cache
from finetune.engines.base import Engine
from finetune.engines.factory import make_engine as make
from finetune.errors import CheckpointError, ConfigError
from finetune.planning.cost import memory_gib, trained_parameters
from finetune.training import checkpoint, checkpoint_reader
from finetune.training.checkpoint_folders import checkpoint_folder, verify_checkpoint
from finetune.training.loop import train
from tests.finetune.conftest import MakeRecipe
from tests.kit.extras import torchao
from tests.kit.overfit import relative_error
from tests.kit.ranks import free_port
from tests.kit.toy_runs import checkpoint_tensors, wan_lora

__all__ = ["torchao"]
RANK = 256  # x 24, the width of the tiny Wan: two dozen blocks of 256 numbers
OPTIMIZER = Optimizer(kind="adamw_8bit", weight_decay=0.01, ema=0.9)


class TwoLayers(torch.nn.Module):
    """Weights of 64 blocks of 256 numbers, and small biases."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(64, 256), torch.nn.Linear(64, 256)

    def forward(self, x: Tensor, both: bool) -> Tensor:
        return torch.cat([self.first(x), self.second(x)]) if both else self.first(x)


def make_engine(recipe: Recipe, kind: str = "adamw_8bit") -> Engine:
    torch.manual_seed(0)
    optimizer: Any = replace(OPTIMIZER, kind=kind)
    layers = TwoLayers()
    made = replace(recipe, optimizer=optimizer)
    return make(layers, [layers.first, layers.second], made, torch.device("cpu"))


def take_steps(engine: Engine, steps: range) -> None:
    """In every other step the second layer rests."""
    for step in steps:
        x = torch.randn(8, 64, generator=torch.Generator().manual_seed(step))
        engine.backward((engine.module(x, step % 2 == 1) - 1).square().sum())
        engine.step(0.01, lambda _: True)


def flat(engine: Engine, kind: str) -> Tensor:
    shards = engine.shards()[kind]
    return torch.cat([engine.gather(name, shards[name]).flatten() for name in shards])


def resumed(engine: Engine, recipe: Recipe) -> Engine:
    """Save an engine, and return another that read the checkpoint."""
    folder = checkpoint.save(Path(recipe.out), 4, engine, {}, recipe.checkpoints, {})
    other = make_engine(recipe)
    checkpoint_reader.load(folder, verify_checkpoint(folder), other, {})
    return other


def assert_same(ours: Engine, theirs: Engine) -> None:
    for kind in ours.shards():
        assert torch.equal(flat(ours, kind), flat(theirs, kind)), kind


@pytest.mark.slow
@pytest.mark.usefixtures("torchao")
def test_steps_are_nearly_those_of_adamw(make_recipe: MakeRecipe) -> None:
    ours, theirs = (make_engine(make_recipe(), kind) for kind in ("adamw_8bit", "adamw"))
    start = flat(ours, "model").clone()
    for engine in (ours, theirs):
        take_steps(engine, range(20))
    for kind in ("model", "ema"):
        error = relative_error(flat(ours, kind) - start, flat(theirs, kind) - start)
        print(f"{kind}: relative error {error:.3f} after 20 steps")
        assert 0 < error < 0.05


@pytest.mark.slow
@pytest.mark.usefixtures("torchao")
def test_a_resting_layer_keeps_weights_average_and_moments(make_recipe: MakeRecipe) -> None:
    engine = make_engine(make_recipe(), "adamw_8bit")
    take_steps(engine, range(2))
    before = {kind: flat(engine, kind).clone() for kind in engine.shards()}
    take_steps(engine, range(2, 3))
    half = 256 * 65
    for kind, old in before.items():
        new = flat(engine, kind)
        assert torch.equal(new[half:], old[half:])
        assert not torch.equal(new[:half], old[:half])


@pytest.mark.slow
@pytest.mark.usefixtures("torchao")
def test_moments_of_large_weights_are_bytes_and_survive_a_checkpoint(
    make_recipe: MakeRecipe,
) -> None:
    """Written as float32 and read back they are the same codes, also where all are negative."""
    recipe = make_recipe()
    engine = make_engine(recipe)
    take_steps(engine, range(4))
    moments: Any = engine.shards()["exp_avg"]
    assert moments["first.weight"].codes.dtype == torch.uint8
    assert moments["first.bias"].dtype == torch.float32
    moments["first.weight"].copy_(-torch.rand(256, 64))
    other = resumed(engine, recipe)
    for trained in (engine, other):
        take_steps(trained, range(4, 8))
    assert_same(engine, other)


def shard_in_a_rank(rank: int, port: int, recipe: Recipe) -> None:
    """Take eight steps, and the last four again from a checkpoint."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    engine = make_engine(recipe)
    take_steps(engine, range(4))
    moment: Any = engine.shards()["exp_avg"]["first.weight"]
    assert moment.to_local().codes.shape == (128, 64)
    other = resumed(engine, recipe)
    for trained in (engine, other):
        take_steps(trained, range(4, 8))
    assert_same(engine, other)
    torch.save(flat(engine, "model"), Path(recipe.out) / f"rank-{rank}.pt")
    os._exit(0)  # the interpreter may abort at exit while threads of a group run


@pytest.mark.slow
@pytest.mark.usefixtures("torchao")
def test_sharded_ranks_step_as_one_device_and_resume_bit_for_bit(make_recipe: MakeRecipe) -> None:
    alone = make_engine(make_recipe())
    take_steps(alone, range(8))
    recipe = make_recipe(strategy="fsdp2")
    torch.multiprocessing.spawn(shard_in_a_rank, (free_port(), recipe), nprocs=2)
    for rank in range(2):
        weights = torch.load(Path(recipe.out) / f"rank-{rank}.pt")
        assert relative_error(weights, flat(alone, "model")) < 1e-4  # a code may flip


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    """A LoRA of the tiny Wan, whose moments are large enough to be quantized."""
    return wan_lora(make_recipe, adapter=Adapter(rank=RANK), optimizer=OPTIMIZER)


@pytest.mark.slow
@pytest.mark.usefixtures("torchao")
def test_an_adapter_is_trained_and_resumed_bit_for_bit(recipe: Recipe, tmp_path: Path) -> None:
    build_cache(recipe)
    train(recipe)
    begun = replace(recipe, out=str(tmp_path / "begun"))
    train(begun, resume=str(checkpoint_folder(Path(recipe.out), 2)))
    whole, again = checkpoint_tensors(recipe.out, 4), checkpoint_tensors(begun.out, 4)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    back = replace(begun, steps=5, optimizer=replace(OPTIMIZER, kind="adamw"))
    with pytest.raises(CheckpointError, match=r"optimizer\.kind was 'adamw_8bit', is 'adamw'"):
        train(back, resume="auto")
    train(back, resume="auto", allow=["optimizer.kind"])
    assert (checkpoint_folder(Path(begun.out), 5)).is_dir()


def test_a_missing_package_is_named_before_anything_is_read(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune.training.packages.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"adapter needs peft: pip install 'brickfilm\[lora\]'"):
        train(recipe)
    with pytest.raises(ConfigError, match=r"'adamw_8bit' needs torchao: .*'brickfilm\[8bit\]'"):
        train(replace(recipe, adapter=None))


def test_a_quarter_of_the_moments_memory_is_planned(recipe: Recipe) -> None:
    plain = replace(recipe, optimizer=replace(OPTIMIZER, kind="adamw"))
    (bucket,) = recipe.buckets
    saved = memory_gib(bucket, plain, 1, 1) - memory_gib(bucket, recipe, 1, 1)
    expected = trained_parameters(recipe) * (8 - 2 * (1 + 4 / 256))
    assert saved * 2**30 == pytest.approx(expected, rel=1e-6)
