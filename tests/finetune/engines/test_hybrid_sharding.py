"""Strategy hsdp: parameters sharded within a node, replicated over nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.testing._internal.distributed.fake_pg import FakeStore

from finetune.config import Bucket, Schedule
from finetune.data.cache import build_cache
from finetune.engines.fsdp2 import FullySharded
from finetune.errors import EngineError
from finetune.training.loop import train
from finetune.training.run import new_model
from tests.finetune.conftest import MakeRecipe
from tests.kit.ranks import train_in_ranks

CPU = torch.device("cpu")
needs_newer_torch = pytest.mark.skipif(
    torch.__version__ < "2.6" and not torch.cuda.is_available(),
    reason="torch 2.5 has FSDP2 on GPUs alone",
)


@pytest.fixture
def four_ranks() -> Iterator[None]:
    """Rank 0 of four, whose collectives do nothing."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=4)
    yield
    dist.destroy_process_group()


@needs_newer_torch
@pytest.mark.usefixtures("four_ranks")
def test_shards_are_a_node_s_share(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    recipe = make_recipe(strategy="hsdp")
    engine = FullySharded(new_model(recipe), [], recipe, CPU)
    for shard in engine.shards()["model"].values():
        assert isinstance(shard, DTensor)
        assert shard.placements == (Replicate(), Shard(0))
        assert shard.device_mesh.mesh.tolist() == [[0, 1], [2, 3]]
        assert len(shard.to_local()) == (len(shard) + 1) // 2


@pytest.mark.usefixtures("four_ranks")
@pytest.mark.parametrize("of_node", ["", "3"])
def test_uneven_nodes_are_refused(
    of_node: str, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    if of_node:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", of_node)
    else:
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    recipe = make_recipe(strategy="hsdp")
    with pytest.raises(EngineError, match=r"LOCAL_WORLD_SIZE \((3|not set)\).*or set strategy"):
        FullySharded(new_model(recipe), [], recipe, CPU)


@pytest.mark.slow
@needs_newer_torch
def test_two_nodes_of_two_ranks_lose_what_one_device_loses(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a run that began on them goes on on one device."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    one = Bucket(resolution="144p", frames=4, batch_size=4)
    recipe = make_recipe(buckets=(one,), schedule=Schedule(kind="constant", peak=1e-3))
    build_cache(recipe)
    alone = replace(recipe, out=str(tmp_path / "alone"))
    train(alone)
    four = replace(recipe, strategy="hsdp", buckets=(replace(one, batch_size=1),), steps=3)
    train_in_ranks(four, world_size=4)
    train(recipe, resume="auto")
    found, expected = losses(Path(recipe.out)), losses(Path(alone.out))
    assert len(found) == recipe.steps
    assert found == pytest.approx(expected, rel=1e-5)


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]
