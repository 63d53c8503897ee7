"""Training on a dataset of a real local Hub, which is streamed, not downloaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub.constants import HF_HUB_CACHE

from finetune.config import Recipe
from finetune.errors import DataError
from finetune.training.loop import train
from tests.kit.ranks import train_in_ranks
from tests.kit.servers.hub import HubServer
from tests.kit.streamed_dataset import push_shards, streaming, toy_shards
from tests.kit.toy_runs import checkpoint_tensors

pytestmark = pytest.mark.slow
MakeRecipe = Callable[..., Recipe]


def test_a_resumed_stream_goes_on_bit_for_bit_with_any_workers(
    hub: HubServer, make_recipe: MakeRecipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = push_shards(tmp_path / "data", toy_shards(2, 4))
    whole = streaming(make_recipe, out=str(tmp_path / "whole"))
    train(whole)
    begun = replace(whole, out=str(tmp_path / "begun"))
    train(replace(begun, steps=2, workers=1))
    assert push_shards(tmp_path / "data", toy_shards(2, 5)) != first  # a newer commit
    train(begun, resume="auto")
    assert "has a newer commit" in caplog.text
    tensors = [checkpoint_tensors(recipe.out, 4) for recipe in (whole, begun)]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    downloaded = [f for f in Path(HF_HUB_CACHE).rglob("*.parquet") if "maker--clips" in str(f)]
    assert not downloaded
    summary = json.loads((tmp_path / "begun/summary.json").read_text())
    assert summary["samples"] == 8 and "144p x 4" in summary["rows"]


def test_two_ranks_stream_shards_of_their_own(
    hub: HubServer, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    push_shards(tmp_path / "data", toy_shards(2, 2))
    out = train_in_ranks(streaming(make_recipe, steps=1))
    manifest = json.loads((out / "step-00000001/manifest.json").read_text())
    assert [stream["readers"][0]["node"] for stream in manifest["stream"]] == [0, 1]
    assert manifest["samples"] == 4


def test_a_slow_network_is_named_and_a_short_outage_is_survived(
    hub: HubServer, make_recipe: MakeRecipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    push_shards(tmp_path / "data", toy_shards(4, 2))
    hub.fail("GET /cdn", status=503, skip=2)
    hub.delay("GET /cdn", 0.3)
    train(streaming(make_recipe, steps=10, shuffle_buffer=1))
    assert "of the time, for the network: " in caplog.text and "Retrying in 1s" in caplog.text
    (line,) = (tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1:]
    metrics = json.loads(line)
    assert metrics["rank0/wait_share"] > 0.2 and metrics["rank0/read_s"] > 0.1


def test_an_outage_ends_the_run_in_one_line(
    hub: HubServer, make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.STREAMING_READ_MAX_RETRIES", 1)
    monkeypatch.setattr("datasets.config.STREAMING_READ_RETRY_INTERVAL", 0)
    without_waiting = SimpleNamespace(sleep=lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.utils._http.time", without_waiting)
    push_shards(tmp_path / "data", toy_shards(2, 2))
    recipe = streaming(make_recipe)
    hub.fail("GET /cdn", status=500, skip=2, times=1000)
    with pytest.raises(DataError, match="start again with --resume auto") as error:
        train(recipe)
    assert "\n" not in str(error.value)
