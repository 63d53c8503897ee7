"""Adapters: trained, saved, resumed, merged, and loaded by diffusers in both key formats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from finetune.config import Adapter, Recipe, Validation
from finetune.data.cache import build_cache
from finetune.errors import CheckpointError, ConfigError, WeightsError
from finetune.models.adapters import COMFYUI_FILE, DIFFUSERS_FILE, load_network
from finetune.models.diffusers import WAN_2_1
from finetune.models.family import ClipConditions
from finetune.release.release import ReleaseOptions, build_release
from finetune.sampling.pipeline import TextToVideoPipeline
from finetune.training.checkpoint_folders import checkpoint_folder
from finetune.training.loop import train
from finetune.training.run import new_model
from tests.finetune.conftest import MakeRecipe
from tests.kit.pipelines import load_lora
from tests.kit.ranks import train_in_ranks
from tests.kit.toy_runs import checkpoint_tensors, train_as_if_resumed, wan_lora

ADAPTER = Adapter(rank=4, alpha=8.0)
CAPTION = "a castle number 0 turns slowly"


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    """A LoRA of the tiny Wan on clips of 5 frames at 144x256; nothing is sampled."""
    return wan_lora(make_recipe, adapter=ADAPTER)


def checkpoint(recipe: Recipe, step: int) -> Path:
    return checkpoint_folder(Path(recipe.out), step)


def velocity(network: nn.Module) -> Tensor:
    text = torch.randn(1, 512, 32, generator=torch.Generator().manual_seed(0))
    given = ClipConditions(text={"states": text}, frames=5, height=64, width=64, fps=(16.0,))
    x = torch.randn(1, 16, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return WAN_2_1.denoiser(network, given)(x, torch.tensor([0.4]), None)


def test_an_adapter_is_trained_resumed_released_and_loaded_by_diffusers(
    recipe: Recipe, tmp_path: Path
) -> None:
    build_cache(recipe)
    whole = train_as_if_resumed(recipe, tmp_path / "begun")
    assert all(".lora_" in name for name in whole), "the frozen base is in the checkpoint"

    folder = build_release(Path(recipe.out), ReleaseOptions(repo_id="me/lora"))
    base = WAN_2_1.load_network("tiny-random")
    trained = load_network(WAN_2_1, folder)
    change = (velocity(trained) - velocity(base)).norm()
    assert change > 1e-4 * velocity(base).norm()

    for file in (DIFFUSERS_FILE, COMFYUI_FILE):
        loaded = load_lora(WAN_2_1, folder / file)
        torch.testing.assert_close(velocity(loaded), velocity(trained), rtol=1e-5, atol=1e-6)
    assert_diffusers_samples_the_same(Path(recipe.out))
    merged = load_lora(WAN_2_1, folder / DIFFUSERS_FILE, merge=True)
    torch.testing.assert_close(velocity(merged), velocity(trained), rtol=1e-5, atol=1e-5)


def assert_diffusers_samples_the_same(run: Path) -> None:
    """`finetune sample` and `WanPipeline` with the run's adapter: a video of the same pixels."""
    from diffusers import UniPCMultistepScheduler, WanPipeline

    ours = TextToVideoPipeline.from_pretrained(str(run), device="cpu")
    request = ours.request(prompt=CAPTION, frames=5, height=64, width=64, steps=2, guidance=5.0)
    pipeline = WanPipeline(
        tokenizer=ours.text.tokenizer,
        text_encoder=ours.text.network,
        vae=ours.vae.network,
        transformer=load_lora(WAN_2_1, run / "lora" / DIFFUSERS_FILE),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )
    noise = torch.randn(1, 16, 2, 8, 8, generator=torch.Generator().manual_seed(request.seed))
    size = {"height": 64, "width": 64, "num_frames": 5, "num_inference_steps": 2}
    frames = pipeline(CAPTION, **size, latents=noise, guidance_scale=5.0, output_type="pt").frames
    theirs = (frames[0] * 255).round().to(torch.uint8)
    assert int((ours.sample(request).int() - theirs.int()).abs().max()) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_ranks_train_the_adapter_of_one_and_resume_its_run(
    recipe: Recipe, strategy: str, tmp_path: Path
) -> None:
    """One device takes steps 1 and 4, two ranks the others, with recomputed blocks."""
    build_cache(recipe)
    (bucket,) = recipe.buckets
    alone = replace(recipe, buckets=(replace(bucket, batch_size=2, micro_batch_size=1),))
    whole = replace(alone, out=str(tmp_path / "whole"))
    train(whole)
    train(replace(alone, steps=1))
    shared = replace(bucket, batch_size=1, activation_checkpointing=True)
    out = train_in_ranks(
        replace(recipe, strategy=strategy, steps=3, buckets=(shared,)), resume="auto"
    )
    train(alone, resume="auto")
    losses = [
        [line["loss"] for line in map(json.loads, (o / "metrics.jsonl").open()) if "loss" in line]
        for o in (out, tmp_path / "whole")
    ]
    assert len(losses[0]) == 4
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    ours, theirs = (checkpoint_tensors(o, 4) for o in (out, tmp_path / "whole"))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.soak
@pytest.mark.parametrize("adapter", [ADAPTER, None], ids=["lora", "full"])
def test_sharded_ranks_train_and_sample_in_bfloat16(
    recipe: Recipe, adapter: Adapter | None
) -> None:
    """Prompts and a sweep with and without guidance: no rank waits for a call of another."""
    build_cache(recipe)
    size = {"frames": 5, "height": 64, "width": 64, "steps": 2, "guidance": 5.0}
    asked = Validation(prompts=(CAPTION,), loss_batches=1, every=10, sweep=(0.0, 1.0, 3.0), **size)
    half = replace(recipe, adapter=adapter, precision="bfloat16", strategy="fsdp2", steps=2)
    out = train_in_ranks(replace(half, validation=asked))
    assert len(list((out / "samples" / "step-00000002").glob("*.mp4"))) == 4
    kept = checkpoint_tensors(out, 2)
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in kept.values())


@pytest.mark.slow
def test_an_adapter_of_another_rank_or_base_is_named(recipe: Recipe, tmp_path: Path) -> None:
    build_cache(recipe)
    train(replace(recipe, steps=1))
    with pytest.raises(CheckpointError, match=r"adapter\.rank was 4, is 8"):
        train(replace(recipe, adapter=replace(ADAPTER, rank=8)), resume="auto")
    with pytest.raises(CheckpointError, match="init was 'tiny-random', is 'other/base'"):
        train(replace(recipe, init="other/base"), resume="auto")
    wider = replace(recipe, adapter=replace(ADAPTER, rank=8))
    with pytest.raises(CheckpointError, match=r"of another network \(adapter\.rank 4, not 8\)"):
        train(wider, resume="auto", allow=["adapter"])
    folder = checkpoint(recipe, 1) / "model"
    config = json.loads((folder / "config.json").read_text())
    for change, message in (
        ({"rank": 2}, r"rank or base, \(4, \d+\) in place of \(2, .* 'tiny-random' and rank 2;"),
        ({"targets": ["to_q"]}, r"an adapter of another network: \d+ weights differ, such as"),
    ):
        other = {**config, "adapter": {**config["adapter"], **change}}
        (folder / "config.json").write_text(json.dumps(other))
        with pytest.raises(WeightsError, match=message):
            load_network(WAN_2_1, folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adapter": Adapter(targets=("to_z",))}, r"adapter.targets \['to_z'\] match no"),
        ({"family": "stdit2", "init": "random"}, "adapter changes pretrained weights"),
        ({"engine": "colossalai"}, "trained with engine 'torch', not 'colossalai'"),
        ({"adapter": None, "init": "random"}, "is fine-tuned, not trained from random"),
        ({"text_tokens": 200}, "was trained with 512"),
    ],
)
def test_an_adapter_that_cannot_be_trained_is_named(
    recipe: Recipe, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        new_model(replace(recipe, **change))
