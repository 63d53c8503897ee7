"""Cases of training Wan at 480 x 832: random weights of true size, a real cache of noise.

The loop and the loader are those of a run. A baseline is diffusers and peft as their examples run
them: eager, gradient checkpointing of whole blocks.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
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
from finetune.engines.distributed import (
    all_gather,
    choose_device,
    process_group,
    rank_and_world_size,
)
from finetune.models import find_family
from finetune.models.adapters import add_adapter
from finetune.models.diffusers.wan import Wan
from finetune.training.batch_encoder import BatchEncoder
from finetune.training.loop import loop
from finetune.training.run import TrainingRun, open_engine
from finetune.training.run_data import IndexedData
from tests.benchmarks.profiling import kernel_times, slowest_lines
from tests.benchmarks.training import ENDLESS, Case, Enough, Recorder

FRAMES, HEIGHT, WIDTH, CLIPS = 81, 480, 832, 4
SIZES = {
    "1.3b": (30, 1536, 12, 8960),
    "5b": (30, 3072, 24, 14336),
    "14b": (40, 5120, 40, 13824),
    "14b-shape": (2, 5120, 40, 13824),
    "tiny": (2, 24, 2, 48),
}
FAMILIES = {"5b": "wan2.2-5b"}  # of sizes that are not Wan 2.1's
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True, kw_only=True)
class WanCase:
    """A size of Wan, the clips, and the way it is trained."""

    size: str = "1.3b"
    frames: int = FRAMES  # 4 n + 1
    blocks: int = 0  # to recompute but for their attention
    keep_attention: bool = True
    memory: float | None = None  # GiB that the GPU may use once the network is there
    base: str = "full"  # of the adapter
    offload: int = 0  # blocks whose frozen weights stay in the host's memory
    optimizer: str = "adamw"
    strategy: str = "auto"
    asynchronous: bool | None = None  # checkpoints in the middle, written so; None: no checkpoints
    adapter: bool = True  # rank 32 on q, k, v and o; or all weights
    compile: bool = True
    baseline: bool = False  # diffusers and peft as their examples run them
    steps: int = 12
    warmup: int = 4  # steps before the measured ones, compilation included


CASES = {
    "wan-1.3b-lora": WanCase(),
    "wan-1.3b-lora-16g": WanCase(blocks=30, memory=16),
    "wan-1.3b-full": WanCase(adapter=False),
    "wan-1.3b-lora-fp8": WanCase(base="fp8"),
    "wan-1.3b-lora-16g-fp8": WanCase(blocks=30, memory=15.5, base="fp8"),
    "wan-5b-lora-24g": WanCase(size="5b", frames=121, blocks=30, memory=23.5, steps=8),
    "wan-5b-lora-16g": WanCase(size="5b", frames=121, blocks=30, memory=15.5, offload=30, steps=8),
    "wan-14b-lora": WanCase(size="14b", frames=49, blocks=40, steps=8),
    "wan-14b-lora-int8": WanCase(size="14b", frames=49, blocks=40, base="int8", steps=8),
    "wan-14b-lora-fp8": WanCase(size="14b", frames=49, blocks=40, base="fp8", steps=8),
    "wan-14b-lora-24g": WanCase(
        size="14b", frames=49, blocks=40, keep_attention=False, memory=23.5, offload=40, steps=4
    ),
    "wan-14b-lora-16g": WanCase(
        size="14b",
        frames=33,
        blocks=40,
        keep_attention=False,
        memory=15.5,
        offload=40,
        optimizer="adamw_8bit",
        steps=4,
    ),
    "wan-14b-shape-lora": WanCase(size="14b-shape", frames=49, blocks=2),
    "wan-14b-shape-full": WanCase(size="14b-shape", frames=49, blocks=2, adapter=False),
    "wan-tiny": WanCase(size="tiny", frames=5, compile=False, steps=2),  # to try it on a CPU
}
for _name in ("wan-14b-lora-24g", "wan-14b-lora-16g"):
    CASES |= {f"{_name}-{base}": replace(CASES[_name], base=base) for base in ("int8", "fp8")}


def measure(case: WanCase, *, profile: bool = False) -> dict[str, object]:
    """Train a case; return median seconds a step, peak memory and model TFLOP/s.

    profile: print the kernels of a further step.
    """
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        recipe = recipe_of(case, Path(name))
        device = choose_device(recipe)
        with process_group(recipe, device):
            recipe = replace(recipe, out=all_gather(recipe.out)[0])  # the ranks share a checkpoint
            begin = time.monotonic()
            run = open_run(recipe, case, device)
            opened = time.monotonic() - begin
            if case.memory:
                limit_memory(case.memory)
            run.log = recorder = Recorder(Case(steps=case.steps, warmup=case.warmup))
            take_steps(run)
            run.checkpoint_writer.wait()
            all_gather(None)  # before a rank deletes the folder
            run.checkpoint_writer.close()
            peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
            if profile:
                run.log = Recorder(Case(steps=1, warmup=0))
                print(*slowest_lines(*kernel_times(partial(take_steps, run))), sep="\n")
            world = rank_and_world_size()[1]
    seconds = recorder.median("step_s")
    speed = world * model_tflop(recipe, case.frames) / seconds
    return {
        "seconds": seconds,
        "peak_gib": peak,
        "tflops": speed,
        "world": world,
        "clips_s": world / seconds,
        "opened_s": opened,
        "loss": recorder.median("loss"),
        "steps_s": [round(step["step_s"], 3) for step in recorder.steps],
        "elapsed_s": [round(stamp - recorder.stamps[0], 3) for stamp in recorder.stamps],
    }


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
        family=FAMILIES.get(case.size, "wan2.1"),
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
        strategy=case.strategy,
        keep_attention=case.keep_attention,
        offload_blocks=case.offload,
        network=Network(depth=depth, hidden_size=width, num_heads=heads),
        adapter=Adapter(rank=32, targets=ATTENTION, base=case.base) if case.adapter else None,
        optimizer=Optimizer(kind=case.optimizer, ema=0.0),
        schedule=Schedule(kind="constant", peak=1e-4),
        checkpoints=Checkpoints(
            every=ENDLESS if case.asynchronous is None else case.warmup + case.steps // 2,
            asynchronous=bool(case.asynchronous),
        ),
    )


def open_run(recipe: Recipe, case: WanCase, device: torch.device) -> TrainingRun:
    index = write_cache(recipe)
    family = wan_family(recipe)
    random = family.cast_inputs(random_network(case.size, device))
    network = add_adapter(random, family, recipe)
    engine = open_engine(network, recipe, device)
    if case.baseline:
        use_plain_checkpointing()
    data = IndexedData(recipe, index, bucket_coverage(index, recipe))
    encoder = BatchEncoder(recipe, index, device)
    objective = family.objective(recipe.flow)
    return TrainingRun(recipe, device, data, engine, encoder, family, objective)


def wan_family(recipe: Recipe) -> Wan:
    family = find_family(recipe.family)
    assert isinstance(family, Wan)
    return family


def use_plain_checkpointing() -> None:
    """Recompute whole blocks, attention included, whatever the recipe says."""
    from finetune.models.diffusers import wan

    def enable(chosen: Any, _blocks: object, _count: int) -> None:
        chosen.enable_gradient_checkpointing()

    wan.recompute_blocks = enable


def random_network(size: str, device: torch.device) -> torch.nn.Module:
    from diffusers import WanTransformer3DModel

    depth, width, heads, ffn = SIZES[size]
    channels = 48 if size in FAMILIES else 16
    with device:
        torch.set_default_dtype(torch.bfloat16)
        try:
            network: torch.nn.Module = WanTransformer3DModel(
                in_channels=channels,
                out_channels=channels,
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
        shape = wan_family(recipe).latent_shape(recipe.buckets[0].frames, height, width)
        channels, *size = shape
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
    cost = wan_family(recipe).cost
    attention = cost.attention_tflop(recipe, frames, HEIGHT, WIDTH)
    linear = cost.forward_tflop(recipe, frames, HEIGHT, WIDTH) - attention
    return (2 if recipe.adapter else 3) * linear + 3 * attention


def limit_memory(gib: float) -> None:
    """Limit this process to so much of the GPU's memory."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, gib * 2**30 / total))
