"""Every engine from the same weights and data gives the same losses, and resumes any other."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from finetune import checkpoint
from finetune.cache import build_cache
from finetune.config import Bucket, Recipe, Schedule
from finetune.models.stdit2 import STDiT2
from finetune.run import new_model
from finetune.train import train
from tests.finetune.conftest import MakeRecipe
from tests.finetune.ranks import train_in_ranks

pytestmark = pytest.mark.slow
needs_colossalai = pytest.mark.skipif(
    importlib.util.find_spec("colossalai") is None,
    reason="ColossalAI is not installed (docs/finetune.md has two ways)",
)
ENGINES = [
    pytest.param("torch", "ddp", id="ddp"),
    pytest.param("torch", "fsdp2", id="fsdp2"),
    pytest.param("colossalai", "zero1", id="zero1", marks=needs_colossalai),
    pytest.param("colossalai", "zero2", id="zero2", marks=needs_colossalai),
]
STEPS = 20


@pytest.fixture
def recipe(make_recipe: MakeRecipe, tmp_path: Path) -> Recipe:
    """20 steps in float32 of batches of two, from weights on disk whose every branch is open."""
    made = make_recipe(
        steps=STEPS,
        buckets=(Bucket(resolution="144p", frames=4, batch=2, micro=1),),
        schedule=Schedule(kind="constant", peak=3e-4),
    )
    made = replace(made, checkpoints=replace(made.checkpoints, every=10))
    torch.manual_seed(3)
    model = new_model(made)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(tmp_path / "init")
    build_cache(made)
    return replace(made, init=str(tmp_path / "init"))


def figures(out: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


@pytest.mark.parametrize(("engine", "strategy"), ENGINES)
def test_two_ranks_of_any_engine_lose_what_one_device_loses(
    recipe: Recipe, engine: str, strategy: str, tmp_path: Path
) -> None:
    (bucket,) = recipe.buckets
    alone = replace(recipe, out=str(tmp_path / "alone"), buckets=(replace(bucket, batch=4),))
    train(alone)
    shared = replace(recipe, engine=engine, strategy=strategy, out=str(tmp_path / strategy))
    out = train_in_ranks(shared)
    expected, found = (figures(Path(o), "loss") for o in (alone.out, out))
    assert len(found) == STEPS
    worst = max(abs(a - b) / a for a, b in zip(expected, found, strict=True))
    print(f"{strategy}: largest relative difference of {STEPS} losses {worst:.1e}")
    assert worst <= 1e-5
    assert figures(out, "grad_norm") == pytest.approx(figures(Path(alone.out), "grad_norm"), 1e-4)


@pytest.mark.parametrize(("engine", "strategy"), ENGINES)
def test_a_run_goes_on_with_another_engine_and_number_of_ranks(
    recipe: Recipe, engine: str, strategy: str, tmp_path: Path
) -> None:
    (bucket,) = recipe.buckets
    one = replace(recipe, buckets=(replace(bucket, batch=4),))
    whole = replace(one, out=str(tmp_path / "whole"), steps=8)
    train(whole)
    train(replace(one, steps=3))
    two = replace(recipe, engine=engine, strategy=strategy, steps=6)
    out = train_in_ranks(two, resume="auto")
    train(replace(one, steps=8), resume="auto")
    assert figures(out, "loss") == pytest.approx(figures(Path(whole.out), "loss"), rel=1e-5)
    ours, theirs = (
        STDiT2.from_pretrained(checkpoint.folder_of(o, 8) / "ema").state_dict()
        for o in (out, Path(whole.out))
    )
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-5)
