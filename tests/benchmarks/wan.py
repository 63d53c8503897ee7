"""Measure LoRA training of Wan 2.1 1.3B at 81 x 480 x 832: `python -m tests.benchmarks.wan`.

Random weights of true size, a real cache of noise, the real loop. `--baseline` is diffusers and
peft as their examples run it: eager, gradient checkpointing of whole blocks.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

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


def main(
    size: Annotated[str, typer.Option(help="1.3b, 14b or tiny")] = "1.3b",
    frames: Annotated[int, typer.Option(help="of a clip: 4 n + 1")] = FRAMES,
    blocks: Annotated[int, typer.Option(help="number of blocks to recompute")] = 0,
    compile: Annotated[bool, typer.Option(help="compile the blocks")] = True,
    baseline: Annotated[bool, typer.Option(help="as diffusers' examples are")] = False,
    memory: Annotated[float | None, typer.Option(help="GiB that the GPU may use")] = None,
    steps: Annotated[int, typer.Option(help="measured steps")] = 12,
    profile: Annotated[bool, typer.Option(help="list the kernels of a step too")] = False,
) -> None:
    """Print seconds a step, peak memory, and model TFLOP/s (LoRA: 2 x linear + 3 x attention)."""
    if memory:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(memory * 2**30 / total)
    if baseline:
        blocks, compile = ENDLESS, False
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        recipe = recipe_of(size, frames, blocks, compile, Path(name))
        recorder = Recorder(Case(steps=steps, warmup=4))
        device = choose_device(recipe)
        with process_group(recipe, device):
            run = open_run(recipe, size, device, plain=baseline)
            run.log = recorder
            take_steps(run)
            peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
            if profile:
                run.log = Recorder(Case(steps=1, warmup=0))
                print(*slowest_lines(*kernel_times(partial(take_steps, run))), sep="\n")
    seconds = recorder.median("step_s")
    speed = model_tflop(recipe, frames) / seconds
    way = "baseline" if baseline else f"compile {compile}, {blocks} blocks recomputed"
    print(f"| {size} | {frames} | {way} | {seconds:.3f} s | {peak:.1f} GiB | {speed:.0f} TFLOP/s |")


def take_steps(run: TrainingRun) -> None:
    """Run the loop until the run's recorder has enough."""
    with suppress(Enough):
        loop(run)


def recipe_of(size: str, frames: int, blocks: int, compile: bool, folder: Path) -> Recipe:
    depth, width, heads, _ = SIZES[size]
    bucket = Bucket(
        resolution="480p", frames=frames, batch_size=1, activation_checkpointing=min(blocks, depth)
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
        compile=compile,
        network=Network(depth=depth, hidden_size=width, num_heads=heads),
        adapter=Adapter(rank=32, targets=ATTENTION),
        optimizer=Optimizer(ema=0.0),
        schedule=Schedule(kind="constant", peak=1e-4),
        checkpoints=Checkpoints(every=ENDLESS),
    )


def open_run(recipe: Recipe, size: str, device: torch.device, *, plain: bool) -> TrainingRun:
    index = write_cache(recipe)
    network = add_adapter(random_network(size, device), WAN_2_1, recipe)
    engine = open_engine(network, recipe, device)
    if plain:
        use_plain_checkpointing(engine.module)
    coverage = bucket_coverage(index, recipe)
    encoder = BatchEncoder(recipe, index, device)
    objective = WAN_2_1.objective(recipe.flow)
    return TrainingRun(recipe, device, index, coverage, engine, encoder, WAN_2_1, objective)


def use_plain_checkpointing(network: Any) -> None:
    """Recompute whole blocks, attention included, whatever the recipe says."""
    from finetune.models.diffusers import wan

    def enable(chosen: Any, _blocks: object, _count: int) -> None:
        chosen.enable_gradient_checkpointing()

    wan.recompute_blocks = enable
    network.set_attention_backend("native")


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
    index, cache = write_index(rows, index_folder(recipe)), Path(recipe.cache)
    for (height, width), entries in entries_by_size(index, recipe).items():
        folder = cache / "latents-random" / f"{height}x{width}"
        writer = ShardWriter(folder, "000")
        channels, *size = WAN_2_1.latent_shape(frames, height, width)
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
    return index


def model_tflop(recipe: Recipe, frames: int) -> float:
    """Return the arithmetic of a LoRA step: linear layers twice, attention three times."""
    network, tokens = recipe.network, WAN_2_1.cost.tokens(frames, HEIGHT, WIDTH)
    linear_and_attention = WAN_2_1.cost.forward_tflop(recipe, frames, HEIGHT, WIDTH)
    attention = network.depth * 4 * tokens * network.hidden_size * (tokens + 512) / 1e12
    return 2 * (linear_and_attention - attention) + 3 * attention


if __name__ == "__main__":
    typer.run(main)
