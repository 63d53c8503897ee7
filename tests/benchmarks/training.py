"""Time the steps of the real training loop on random data."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from finetune.config import Bucket, Checkpoints, Recipe, Schedule
from finetune.data.bucket_coverage import bucket_coverage
from finetune.data.cache_layout import index_folder
from finetune.data.loader import Batch, batches
from finetune.data.sampler import Sampler
from finetune.engines.distributed import choose_device, process_group, rank_and_world_size
from finetune.models import find_family
from finetune.models.stdit2.config import STDiT2Config
from finetune.models.stdit2.network import STDiT2
from finetune.training.batch_encoder import BatchEncoder
from finetune.training.loop import loop
from finetune.training.run import TrainingRun, new_model, open_engine
from finetune.training.run_data import IndexedData
from tests.benchmarks import synthetic

ENDLESS = 10**9


@dataclass(frozen=True, kw_only=True)
class Case:
    """The clips of a case, the way it is trained, and its number of steps."""

    frames: int = 32
    batch: int = 8
    micro: int = 1  # clips per backward pass
    online: bool = False  # VAE and T5 in the step
    fast: bool = True  # kernels, compiled blocks
    checkpointing: bool | int = False  # blocks whose activations the backward recomputes
    steps: int = 30
    warmup: int = 4  # steps before the measured ones, compilation included


class Enough(Exception):
    """All steps of the case are done."""


@dataclass
class Recorder:
    """A logger that stops the loop after the last step."""

    case: Case
    steps: list[Mapping[str, float]] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)  # when each step was logged

    def log(self, step: int, values: Mapping[str, float], videos: object = None) -> None:
        self.steps.append(values)
        self.stamps.append(time.monotonic())
        print(f"step {step}: " + ", ".join(f"{k} {v:.4g}" for k, v in values.items()), flush=True)
        if len(self.steps) == self.case.warmup and torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        if len(self.steps) == self.case.warmup + self.case.steps:
            raise Enough

    def close(self) -> None:
        """Do nothing."""

    def median(self, name: str) -> float:
        return statistics.median(step[name] for step in self.steps[self.case.warmup :])


class OnlineRun(TrainingRun):
    """A run on random pixels."""

    def batches(self) -> Iterator[Batch]:
        data = self.data
        assert isinstance(data, IndexedData)
        sampler = Sampler(data.index, self.recipe, data.coverage.usable, self.recipe.seed)
        load = synthetic.NoisePixels(index_folder(self.recipe), self.recipe, data.index)
        rank, world_size = rank_and_world_size()
        return batches(
            load,
            sampler,
            self.sampler_state,
            rank=rank,
            world_size=world_size,
            workers=self.recipe.workers,
        )


def recipe_of(case: Case, engine: str, folder: Path) -> Recipe:
    """Return the 32-frame recipe's settings at this case's size."""
    return Recipe(
        dataset="noise",
        out=str(folder / "run"),
        cache=str(folder / "cache"),
        steps=ENDLESS,
        buckets=(
            Bucket(
                resolution="360p",
                frames=case.frames,
                batch_size=case.batch,
                micro_batch_size=case.micro,
                activation_checkpointing=case.checkpointing,
            ),
        ),
        vae=synthetic.ENCODER,
        text_encoder=synthetic.ENCODER,
        latents="online" if case.online else "cached",
        workers=4,
        engine=engine,
        precision="bfloat16",
        compile=case.fast,
        kernels=case.fast,
        schedule=Schedule(kind="constant", peak=1e-5),
        checkpoints=Checkpoints(every=ENDLESS),
    )


def run_case(case: Case, engine: str) -> dict[str, float]:
    """Train, and return medians: clips/s of all ranks, seconds per step, data wait, memory."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        recipe = recipe_of(case, engine, Path(name))
        device = choose_device(recipe)
        with process_group(recipe, device):
            recorder = Recorder(case)
            run = _open(case, recipe, device)
            run.log = recorder
            with suppress(Enough):
                loop(run)
            return {
                "clips_s": recorder.median("clips_s"),
                "step_s": recorder.median("step_s"),
                "data_wait": recorder.median("data_wait"),
                "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
                "loss": recorder.median("loss"),
                "world": float(rank_and_world_size()[1]),
            }


def _open(case: Case, recipe: Recipe, device: torch.device) -> TrainingRun:
    index = synthetic.build(recipe, frames=1 if case.frames == 1 else 2 * case.frames)
    with device:
        model = open_every_branch(new_model(recipe))
    engine = open_engine(model, recipe, device)
    if case.online:
        batch_encoder = BatchEncoder(_cached(recipe), index, device)
        batch_encoder.vae, batch_encoder.text_encoder = (
            synthetic.large_vae(device),
            synthetic.large_text(device),
        )
        if case.fast:
            batch_encoder.vae.compile_network()
            batch_encoder.text_encoder.compile_network()
    else:
        batch_encoder = BatchEncoder(recipe, index, device)
    kind = OnlineRun if case.online else TrainingRun
    data = IndexedData(recipe, index, bucket_coverage(index, recipe))
    family = find_family(recipe.family)
    objective = family.objective(recipe.flow).to(device)
    return kind(recipe, device, data, engine, batch_encoder, family, objective)


def _cached(recipe: Recipe) -> Recipe:
    """Return the recipe with cached latents, for which `BatchEncoder` loads no encoders."""
    return replace(recipe, latents="cached")


def open_every_branch(model: STDiT2) -> STDiT2:
    """Replace weights that start at zero by random ones: products of zeros run faster."""
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)
    return model


def network() -> STDiT2Config:
    """Return the configuration of XL/2, the network of all cases."""
    return STDiT2Config()
