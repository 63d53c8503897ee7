"""Cases of training Wan 2.1 at 480 x 832: random weights of true size, a real cache of noise.

The loop and the loader are those of a run. A baseline is diffusers and peft as their examples run
them: eager, gradient checkpointing of whole blocks.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch

from finetune.config import Adapter, Bucket, Checkpoints, Network, Optimizer, Recipe, Schedule
from finetune.data.bucket_coverage import bucket_coverage
from finetune.data.cache_layout import caption_key, entries_by_size, index_folder, latent_key
from finetune.data.index import Index, write_index
from finetune.data.rows import DatasetRow
from finetune.data.shards import ShardWriter, write_key_index
from finetune.engines.distributed import choose_device, process_group
from finetune.models.adapters import add_adapter
from finetune.models.diffusers import WAN_2_1
from finetune.training.batch_encoder import BatchEncoder
from finetune.training.loop import loop
from finetune.training.run import TrainingRun, open_engine
from tests.benchmarks.profiling import kernel_times, slowest_lines
from tests.benchmarks.training import ENDLESS, Case, Enough, Recorder

FRAMES, HEIGHT, WIDTH, CLIPS = 81, 480, 832, 4
SIZES = {"1.3b": (30, 1536, 12, 8960), "14b": (40, 5120, 40, 13824), "tiny": (2, 24, 2, 48)}
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True, kw_only=True)
class WanCase:
    """A size of Wan, the clips, and the way it is trained."""

    size: str = "1.3b"
    frames: int = FRAMES  # 4 n + 1
    blocks: int = 0  # to recompute but for their attention
    memory: float | None = None  # GiB that the GPU may use
    adapter: bool = True  # rank 32 on q, k, v and o; or all weights
    compile: bool = True
    baseline: bool = False  # diffusers and peft as their examples run them
    steps: int = 12
    warmup: int = 4  # steps before the measured ones, compilation included


CASES = {
    "wan-1.3b-lora": WanCase(),
    "wan-1.3b-lora-16g": WanCase(blocks=30, memory=16),
    "wan-1.3b-full": WanCase(adapter=False),
    "wan-14b-lora": WanCase(size="14b", frames=49, blocks=40, steps=8),
    "wan-tiny": WanCase(size="tiny", frames=5, compile=False, steps=2),  # to try it on a CPU
}


def measure(case: WanCase, *, profile: bool = False) -> dict[str, object]:
    """Train a case; return median seconds a step, peak memory and model TFLOP/s.

    profile: print the kernels of a further step.
    """
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        recipe = recipe_of(case, Path(name))
        device = choose_device(recipe)
        if case.memory:
            limit_memory(case.memory)
        with process_group(recipe, device):
            run = open_run(recipe, case, device)
            run.log = recorder = Recorder(Case(steps=case.steps, warmup=case.warmup))
            take_steps(run)
            peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
            if profile:
                run.log = Recorder(Case(steps=1, warmup=0))
                print(*slowest_lines(*kernel_times(partial(take_steps, run))), sep="\n")
    seconds = recorder.median("step_s")
    speed = model_tflop(recipe, case.frames) / seconds
    return {"seconds": seconds, "peak_gib": peak, "tflops": speed}


def take_steps(run: TrainingRun) -> None:
    """Run the loop until the run's recorder has enough."""
    with suppress(Enough):
        loop(run)


def recipe_of(case: WanCase, folder: Path) -> Recipe:
    depth, width, heads, _ = SIZES[case.size]
    bucket = Bucket(
        resolution="480p",
        frames=case.frames,
        batch_size=1,
        activation_checkpointing=depth if case.baseline else min(case.blocks, depth),
    )
    return Recipe(
        dataset="noise",
        out=str(folder / "run"),
        cache=str(folder / "cache"),
        family="wan2.1",
        init="noise",
        vae="random",
        text_encoder="random",
        text_tokens=512,
        cache_dtype="bfloat16",
        steps=ENDLESS,
        buckets=(bucket,),
        workers=1,
        compile=case.compile and not case.baseline,
        kernels=not case.baseline,
        network=Network(depth=depth, hidden_size=width, num_heads=heads),
        adapter=Adapter(rank=32, targets=ATTENTION) if case.adapter else None,
        optimizer=Optimizer(ema=0.0),
        schedule=Schedule(kind="constant", peak=1e-4),
        checkpoints=Checkpoints(every=ENDLESS),
    )


def open_run(recipe: Recipe, case: WanCase, device: torch.device) -> TrainingRun:
    index = write_cache(recipe)
    random = WAN_2_1.cast_inputs(random_network(case.size, device))
    network = add_adapter(random, WAN_2_1, recipe)
    engine = open_engine(network, recipe, device)
    if case.baseline:
        use_plain_checkpointing()
    coverage = bucket_coverage(index, recipe)
    encoder = BatchEncoder(recipe, index, device)
    objective = WAN_2_1.objective(recipe.flow)
    return TrainingRun(recipe, device, index, coverage, engine, encoder, WAN_2_1, objective)


def use_plain_checkpointing() -> None:
    """Recompute whole blocks, attention included, whatever the recipe says."""
    from finetune.models.diffusers import wan

    def enable(chosen: Any, _blocks: object, _count: int) -> None:
        chosen.enable_gradient_checkpointing()

    wan.recompute_blocks = enable


def random_network(size: str, device: torch.device) -> torch.nn.Module:
    from diffusers import WanTransformer3DModel

    depth, width, heads, ffn = SIZES[size]
    with device:
        torch.set_default_dtype(torch.bfloat16)
        try:
            network: torch.nn.Module = WanTransformer3DModel(
                num_layers=depth,
                num_attention_heads=heads,
                attention_head_dim=width // heads,
                ffn_dim=ffn,
            )
        finally:
            torch.set_default_dtype(torch.float32)
    return network


def write_cache(recipe: Recipe) -> Index:
    """Index clips just longer than the bucket's, and cache noise for them."""
    frames = recipe.buckets[0].frames
    rows = [
        DatasetRow(
            sha256=hashlib.sha256(str(number).encode()).digest(),
            caption=f"scene {number}",
            frames=frames + 1,
            fps=Fraction(16),
            height=HEIGHT,
            width=WIDTH,
            file="none.parquet",
            row_group=0,
            row_in_group=number,
        )
        for number in range(CLIPS)
    ]
    index = write_index(rows, index_folder(recipe))
    fill_cache(recipe, index, rows)
    return index


def fill_cache(recipe: Recipe, index: Index, rows: Sequence[DatasetRow]) -> None:
    """Cache noise as the latents and text states of all clips."""
    cache = Path(recipe.cache)
    for (height, width), entries in entries_by_size(index, recipe).items():
        folder = cache / "latents-random" / f"{height}x{width}"
        writer = ShardWriter(folder, "000")
        channels, *size = WAN_2_1.latent_shape(recipe.buckets[0].frames, height, width)
        for clip, window in entries:
            mean = torch.randn(1, size[0], channels, *size[1:]).bfloat16()
            writer.add(
                latent_key(rows[clip].sha256, window), {"mean": mean, "std": 0.1 * mean.abs()}
            )
        writer.close()
        write_key_index(folder, {"encoder": "random"})
    writer = ShardWriter(cache / "text-random", "000")
    for text in ["", *(row.caption for row in rows)]:
        states = torch.randn(1, 60, recipe.network.caption_channels)
        writer.add(caption_key(text), {"states": states.bfloat16()})
    writer.close()
    write_key_index(cache / "text-random", {"encoder": "random"})


def model_tflop(recipe: Recipe, frames: int) -> float:
    """Return the arithmetic of a step without recomputation.

    Attention counts three times its forward pass; so do linear layers, twice where frozen.
    """
    attention = WAN_2_1.cost.attention_tflop(recipe, frames, HEIGHT, WIDTH)
    linear = WAN_2_1.cost.forward_tflop(recipe, frames, HEIGHT, WIDTH) - attention
    return (2 if recipe.adapter else 3) * linear + 3 * attention


def limit_memory(gib: float) -> None:
    """Limit this process to so much of the GPU's memory."""
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, gib * 2**30 / total))
