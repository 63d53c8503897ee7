"""Recipes of toy networks that train on the CPU, and what their runs have written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from finetune.config import Adapter, Bucket, Optimizer, Recipe, Schedule, Validation
from finetune.models.family import TINY_RANDOM
from finetune.training.checkpoint_folders import checkpoint_folder
from finetune.training.loop import train

TOY_NETWORK = """
frame_interval = 2
vae = "tiny-random"
text_encoder = "tiny-random"
text_tokens = 16
cache_dtype = "float32"
workers = 0
threads = 1
device = "cpu"
precision = "float32"
network = { depth = 1, hidden_size = 48, num_heads = 2, caption_channels = 16 }
"""


def write_recipe(file: Path, *lines: str, batch_size: int = 2) -> Path:
    """Write a recipe of these lines and a toy network, on windows of 4 frames at 144x256."""
    bucket = f'{{ resolution = "144p", frames = 4, batch_size = {batch_size} }}'
    file.write_text("\n".join([*lines, f"buckets = [{bucket}]", TOY_NETWORK]))
    return file


def wan_lora(make_recipe: Callable[..., Recipe], **fields: Any) -> Recipe:
    """Return the recipe of a LoRA of the tiny Wan, any field replaced; nothing is sampled."""
    defaults: dict[str, Any] = {
        "family": "wan2.1",
        "init": TINY_RANDOM,
        "adapter": Adapter(rank=4),
        "buckets": (Bucket(resolution="144p", frames=5, batch_size=2),),
        "frame_interval": 1,
        "text_tokens": 512,
        "optimizer": Optimizer(ema=0.0),
        "schedule": Schedule(peak=1e-2),
        "validation": Validation(loss_batches=0),
    }
    made = make_recipe(**defaults | fields)
    return replace(made, network=replace(made.network, caption_channels=32))


def await_steps(out: Path, steps: int, patience: float) -> None:
    """Wait until a run has logged so many steps; fail after `patience` seconds."""
    file, end = out / "metrics.jsonl", time.monotonic() + patience
    while not file.exists() or file.read_text().count("\n") < steps:
        assert time.monotonic() < end, f"no {steps} steps within {patience} s"
        time.sleep(0.05)


def checkpoint_tensors(out: Path | str, step: int) -> dict[str, Tensor]:
    """Return all tensors of a run's checkpoint, by folder and name."""
    files = sorted(checkpoint_folder(Path(out), step).rglob("*.safetensors"))
    return {f"{f.parent.name}/{n}": t for f in files for n, t in load_file(f).items()}


def train_as_if_resumed(recipe: Recipe, begun: Path) -> dict[str, Tensor]:
    """Train a recipe of 4 steps, and again with a stop after 2: both end with the same tensors.

    begun: the folder of the second run. Return the tensors of the last checkpoint.
    """
    train(recipe)
    other = replace(recipe, out=str(begun))
    train(replace(other, steps=2))
    train(other, resume="auto")
    whole, resumed = checkpoint_tensors(recipe.out, 4), checkpoint_tensors(begun, 4)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    return whole
