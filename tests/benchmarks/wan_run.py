"""Train a random Wan of true size, save, resume and sample: `python -m tests.benchmarks.wan_run`.

The commands' own functions run on a dataset of clips of 82 frames at 480 x 832, whose latents and
texts are noise. The VAE and the text encoder of the sample are small random ones.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from finetune.config import Checkpoints, Recipe
from finetune.data.cache_layout import index_dataset
from finetune.data.index import Index
from finetune.data.rows import DatasetRow
from finetune.models.family import TINY_RANDOM
from finetune.sampling.pipeline import TextToVideoPipeline
from finetune.training.loop import train
from tests.benchmarks.wan import CASES, HEIGHT, WIDTH, fill_cache, random_network, recipe_of


def main(
    dataset: Annotated[str, typer.Argument(help="folder of a dataset")],
    case: Annotated[str, typer.Option(help="of tests.benchmarks.wan")] = "wan-1.3b-lora",
    steps: Annotated[int, typer.Option(help="half before the resume, half after")] = 20,
    sampling_steps: int = 10,
) -> None:
    """Print seconds and losses of each part."""
    chosen = CASES[case]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = folder / "base"
        network: Any = random_network(chosen.size, torch.device("cpu"))
        network.save_pretrained(base / "transformer")
        recipe = replace(
            recipe_of(chosen, folder),
            dataset=dataset,
            init=str(base),
            steps=steps // 2,
            checkpoints=Checkpoints(every=steps // 2),
        )
        write_noise(recipe)
        report("trained", lambda: train(recipe))
        report("resumed", lambda: train(replace(recipe, steps=steps), resume="auto"))
        report("sampled", lambda: sample(recipe, chosen.frames, sampling_steps))


def write_noise(recipe: Recipe) -> None:
    index: Index = index_dataset(recipe)
    rows: list[DatasetRow] = [index.row(number) for number in range(len(index.clips))]
    fill_cache(recipe, index, rows)


def report(name: str, work: Callable[[], object]) -> None:
    start = time.monotonic()
    result = work()
    print(f"{name} in {time.monotonic() - start:.1f} s: {result}", flush=True)


def sample(recipe: Recipe, frames: int, steps: int) -> str:
    """Sample the run's newest checkpoint; return the shape and range of the frames."""
    pipeline = TextToVideoPipeline.from_pretrained(
        recipe.out, vae=TINY_RANDOM, text_encoder=TINY_RANDOM
    )
    request = pipeline.request(
        prompt="scene 1", frames=frames, height=HEIGHT, width=WIDTH, steps=steps
    )
    video = pipeline.sample(request)
    return f"{tuple(video.shape)}, mean {float(video.float().mean()):.3f}"


if __name__ == "__main__":
    typer.run(main)
