"""Check that a pipeline's weights train: `finetune check MODEL DATASET [key=value ...]`.

A short training of an adapter, through the same code as a long one: every weight must have its
place, the loss at fixed clips, noise and times is taken before and after, and a video is sampled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from brickfilm.files import parse_json
from finetune.config import DEFAULT_PROMPTS, Recipe, parse_recipe
from finetune.errors import ConfigError, TrainingStopped
from finetune.models.adapters import DIFFUSERS_FILE
from finetune.models.diffusers.base import DiffusersFamily
from finetune.models.families import find_family, recognise_family
from finetune.models.family import TINY_RANDOM
from finetune.planning.cost import nominal_size
from finetune.training.loop import train
from finetune.training.run import LORA_FOLDER
from finetune.validation.page import PAGE_FILE, VALIDATION_FILE

STEPS = 20
FRAMES = 17  # on the grid of every family: 4n + 1 and 8n + 1


def check_lines(
    model: str, dataset: str, overrides: Sequence[str] = (), *, family: str | None = None
) -> Iterator[str]:
    """Train, sample and compare losses; yield what was found, a line each.

    model: a pipeline's folder or Hub id, or "tiny-random". family: its name; by default that of the
    pipeline. overrides: of the recipe. Raise WeightsError for weights that are missing or of
    another network, TrainingStopped for a loss that is not a number, or by SIGTERM or Ctrl-C.
    """
    chosen = _find_family(model, family)
    origin = f"finetune check {model}"
    recipe = parse_recipe(check_recipe(model, dataset, chosen), origin=origin, overrides=overrides)
    yield f"family           {chosen.name}, {chosen.pipeline_class}, licence {chosen.licence}"
    if (taken := train(recipe)["steps"]) != recipe.steps:
        raise TrainingStopped(
            f"stopped after {taken} of {recipe.steps} steps: run the same command again"
        )
    yield "weights          of network, VAE and text encoder: each has its place"
    yield _loss_line(recipe)
    out = Path(recipe.out)
    if recipe.validation.sampled_prompts:
        yield f"samples          {out / 'samples' / PAGE_FILE}"
    for name in chosen.adapter_folders.values() if recipe.adapter else ():
        yield f"adapter          {out / LORA_FOLDER / name / DIFFUSERS_FILE}"


def check_recipe(model: str, dataset: str, family: DiffusersFamily) -> dict[str, Any]:
    """Return the recipe of a check, as TOML has it: a small bucket, few steps, one prompt."""
    on_gpu = torch.cuda.is_available()
    resolution = "240p" if on_gpu else "144p"
    height, width = map(family.grid.nearest_side, nominal_size(resolution))
    out = _free_folder(Path("work/check") / Path(model).name)
    return {
        "dataset": dataset,
        "out": str(out),
        "cache": str(out / "cache"),
        "steps": STEPS,
        "family": family.name,
        "init": model,
        "vae": model,
        "text_encoder": model,
        "text_tokens": family.text_tokens,
        "sampling": "time",  # clips of any rate keep their speed
        "target_fps": family.native_fps,
        "latents": "online",
        "workers": 0,
        "precision": "bfloat16" if on_gpu else "float32",
        "buckets": [
            {
                "resolution": resolution,
                "frames": FRAMES,
                "batch_size": 1,
                "activation_checkpointing": True,
            }
        ],
        "network": {"caption_channels": family.text_width(model)},
        "adapter": {"rank": 16},
        "schedule": {"peak": 1e-2 if model == TINY_RANDOM else 1e-4},
        "optimizer": {"ema": 0.0},
        "checkpoints": {"every": 10**6},
        "log": {"to": "none"},
        "validation": {
            "prompts": [DEFAULT_PROMPTS[0]] if family.samples_alone else [],
            "frames": FRAMES,
            "height": height,
            "width": width,
            "fps": family.native_fps or 8.0,
            "steps": 20 if on_gpu else 4,
            "guidance": 5.0,
            "sweep": [],
            "loss_batches": 4,
        },
    }


def _find_family(model: str, name: str | None) -> DiffusersFamily:
    if name is None and model == TINY_RANDOM:
        raise ConfigError(f"{TINY_RANDOM!r} is of any family: name one with --family, as wan2.1")
    family = find_family(name) if name else recognise_family(model)
    if not isinstance(family, DiffusersFamily):
        raise ConfigError(
            f"family {family.name!r} is no pipeline of diffusers: check it by a recipe of few steps"
        )
    return family


def _free_folder(folder: Path) -> Path:
    """Return the folder, or one with the next number behind its name if it exists."""
    free, number = folder, 1
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def _loss_line(recipe: Recipe) -> str:
    """Compare the validation loss of the first and the last step."""
    if not recipe.validation.sampled_prompts:
        return "loss             see metrics.jsonl: without a prompt there is no validation"
    before, after = (_validation_loss(recipe, step) for step in (0, recipe.steps))
    if not (math.isfinite(before) and math.isfinite(after)):
        raise TrainingStopped(
            f"the loss on your clips was {before:g} before and {after:g} after {recipe.steps} "
            "steps: the weights are damaged, or schedule.peak is too high"
        )
    fell = "" if after < before else " (it did not fall: try more steps, or a higher schedule.peak)"
    return (
        f"loss             {before:.5f} before, {after:.5f} after {recipe.steps} steps, at fixed "
        f"clips, noise and times{fell}"
    )


def _validation_loss(recipe: Recipe, step: int) -> float:
    file = Path(recipe.out) / "samples" / f"step-{step:08d}" / VALIDATION_FILE
    return float(parse_json(file.read_text())["values"]["validation/loss"])
