"""The state of a run: data, engine, encoders, logs, and its position."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from brickfilm.files import parse_json, replace_folder
from finetune.config import Recipe
from finetune.data.loader import Batch
from finetune.data.sampler import SamplerState
from finetune.engines.base import Engine, weight_norm
from finetune.engines.distributed import all_gather, all_reduce_sum
from finetune.engines.ema import start_share
from finetune.engines.factory import make_engine
from finetune.errors import CheckpointError, ConfigError, LoaderKilled
from finetune.models import Family, family_of, find_family
from finetune.models.adapters import (
    add_adapter,
    network_record,
    shape_record,
    write_lora_files,
)
from finetune.models.block_offload import offload_blocks
from finetune.models.compile_blocks import compile_blocks
from finetune.objectives import Objective
from finetune.tensors import DTYPES
from finetune.training import checkpoint_reader
from finetune.training.batch_encoder import BatchEncoder
from finetune.training.bottlenecks import Bottlenecks
from finetune.training.checkpoint_writer import CheckpointWriter
from finetune.training.loggers import Logger, NoLogger
from finetune.training.loss_spikes import SpikeDetector
from finetune.training.noise import SampleNoise, draw_noise
from finetune.training.resume import ResumePoint
from finetune.training.run_data import RunData
from finetune.training.slow_ranks import SlowRanks
from finetune.training.step_metrics import StepMetrics, StepTimer
from finetune.training.system_metrics import Monitor, make_monitor

log = logging.getLogger(__name__)

SUMMARY_FILE = "summary.json"
LORA_FOLDER = "lora"  # of a run's folder: its newest adapter for diffusers and ComfyUI
MONITOR_EVERY = 10  # steps
DATA_VERSION_SEED_STRIDE = 1_000_003  # added to the seed each time the dataset changes


@dataclass
class TrainingRun:
    """A run, from its first step or a checkpoint."""

    recipe: Recipe
    device: torch.device
    data: RunData
    engine: Engine
    batch_encoder: BatchEncoder
    family: Family
    objective: Objective
    log: Logger = field(default_factory=NoLogger)
    monitor: Monitor = field(init=False)
    spike_detector: SpikeDetector = field(init=False)
    checkpoint_writer: CheckpointWriter = field(init=False)
    slow_ranks: SlowRanks = field(init=False)
    bottlenecks: Bottlenecks = field(init=False)
    timer: StepTimer = field(default_factory=StepTimer)
    step: int = 0
    sampler_state: SamplerState = field(init=False)
    data_version: int = 0  # changes of the dataset during this run
    bad_samples: int = 0
    warned_reasons: set[str] = field(default_factory=set)  # of skipped samples of this rank
    stop_requested: bool = False  # of this rank
    stop_reason: LoaderKilled | None = None

    def __post_init__(self) -> None:
        self.monitor = make_monitor(self.device)
        self.spike_detector = SpikeDetector(self.recipe.loss_spikes)
        self.checkpoint_writer = CheckpointWriter(self.recipe.checkpoints)
        self.slow_ranks = SlowRanks()
        self.bottlenecks = Bottlenecks(self.recipe)
        self.sampler_state = self.data.resumed_state(None, self._seed)

    @property
    def out(self) -> Path:
        return Path(self.recipe.out)

    def batches(self) -> Iterator[Batch]:
        """Yield this rank's batches from the run's position on, without end.

        If a loader process is killed, load one more step here and request a stop, so that all
        ranks finish it and save; `raise_stop_reason` then raises the error.
        """
        try:
            yield from self._batches(self.recipe.workers)
        except LoaderKilled as error:
            self.stop_reason, self.stop_requested = error, True
            yield from self._batches(0)

    def raise_stop_reason(self) -> None:
        """Raise the error that stopped this rank, after its checkpoint; none for a signal."""
        if self.stop_reason:
            raise self.stop_reason

    def _batches(self, workers: int) -> Iterator[Batch]:
        return self.data.batches(self.sampler_state, self._seed, workers)

    def draw_noise(self, seeds: Sequence[int], shape: Sequence[int]) -> SampleNoise:
        """Draw the random numbers of this step's samples of one latent shape (C, T, h, w)."""
        time_range = self.family.time_range(self.step)
        return draw_noise(
            seeds, shape, self.recipe, self.objective, self.device, time_range=time_range
        )

    def warn_skipped(self, skipped: Sequence[str]) -> None:
        """Log why samples are skipped, each reason once."""
        for reason in skipped:
            if reason not in self.warned_reasons:
                log.warning("skipped a sample: %s", reason)
                self.warned_reasons.add(reason)

    def finish_step(
        self, batch: Batch, metrics: StepMetrics, lr: float, norm: float, *, taken: bool
    ) -> None:
        """Advance the position, log the step, and stop the run after too many skipped steps."""
        self.step += 1
        self.sampler_state = batch.spec.sampler_state
        self.bad_samples += metrics.bad_samples
        self.log_step(batch, metrics, lr, norm, taken=taken)
        self.spike_detector.record(metrics.loss, norm, taken=taken)

    def log_step(
        self, batch: Batch, metrics: StepMetrics, lr: float, norm: float, *, taken: bool
    ) -> None:
        """Log a finished step; every rank must call."""
        values = {**metrics.as_dict(), "lr": lr, "grad_norm": norm}
        values |= self.timer.finish_step(metrics.clips, self.engine.world_size)
        seconds = values["step_s"]
        waited = values["data_wait"] * seconds
        self.bottlenecks.add(seconds, waited, len(batch), batch.load_times)
        values["skipped_steps"] = self.spike_detector.skipped + (not taken)
        values["bad_samples"] = self.bad_samples
        if self.device.type == "cuda":
            values["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        if self.step % MONITOR_EVERY == 0:
            values["weight_norm"] = weight_norm(self.engine)
            own_time = {"own_s": self.timer.own_seconds()}
            own_time |= self.bottlenecks.take(self.batch_encoder.clock.take())
            of_ranks: list[dict[str, float]] = all_gather(self.monitor.read() | own_time)
            for rank, metrics_of_rank in enumerate(of_ranks):
                values |= {f"rank{rank}/{n}": v for n, v in metrics_of_rank.items()}
            if self.engine.rank == 0:
                self.slow_ranks.warn(self.step, [read["own_s"] for read in of_ranks])
                self.bottlenecks.warn(self.step, of_ranks)
        if self.step % self.recipe.log.every == 0:
            self.log.log(self.step, values)

    def any_rank_stop_requested(self) -> bool:
        """Tell if a stop was requested on any rank; every rank must call."""
        return bool(all_reduce_sum(torch.tensor([self.stop_requested], dtype=torch.float64)).any())

    def save(self) -> None:
        """Write a checkpoint of the run's state, or begin to; every rank must call."""
        about = {
            **self.data.manifest_entries(self.sampler_state),
            "position": dict(self.sampler_state.drawn),
            "position_skipped": dict(self.sampler_state.skipped),
            "position_steps": self.sampler_state.steps,
            "samples": self.sampler_state.samples,
            "dataset": self.data.fingerprint,
            "generation": self.data_version,
            "bad_samples": self.bad_samples,
            "gpu_hours": self.timer.hours,
            "watch": self.spike_detector.state(),
            "recipe": self.recipe.as_dict(),
            "hardware": _device_name(self.device),
        }
        config = network_record(self.family, self.engine.module)
        self.checkpoint_writer.save(
            self.out, self.step, self.engine, about, config, self._after_save
        )

    def _after_save(self, saved: Path) -> None:
        if self.recipe.adapter:
            _write_lora(self.family, saved / "model", self.out / LORA_FOLDER)

    def resume(self, point: ResumePoint, *, new_data: bool) -> None:
        """Set the run's state from a checkpoint; `new_data` allows a changed dataset.

        Raise CheckpointError if the dataset changed and `new_data` is false.
        """
        folder, manifest = point
        same = manifest["dataset"] == self.data.fingerprint
        if not (same or new_data):
            raise CheckpointError(
                f"{folder} was trained on other data than {self.recipe.dataset} now holds "
                f"(fingerprint {manifest['dataset'][:12]}, now {self.data.fingerprint[:12]}): "
                "restore the old dataset, or restart sampling from this one with --new-data"
            )
        shape = shape_record(self.family, self.engine.module)
        checkpoint_reader.load(folder, manifest, self.engine, shape)
        self.step = manifest["step"]
        self.bad_samples = manifest["bad_samples"]
        self.timer = StepTimer(manifest["gpu_hours"])
        self.spike_detector.restore(manifest["watch"])
        self.data_version = manifest["generation"] + (not same)
        self.sampler_state = self.data.resumed_state(manifest if same else None, self._seed)

    @property
    def _seed(self) -> int:
        """Return the seed of the sampling order."""
        return self.recipe.seed + DATA_VERSION_SEED_STRIDE * self.data_version

    def summary(self) -> dict[str, object]:
        """Return the run's totals; rank 0 writes them to `summary.json`."""
        totals: dict[str, object] = {
            "steps": self.step,
            "samples": self.sampler_state.samples,
            "gpu_hours": round(self.timer.hours, 4),
            "skipped_steps": self.spike_detector.skipped,
            "bad_samples": self.bad_samples,
            **self.data.summary(self.sampler_state),
        }
        if self.recipe.optimizer.ema:
            share = start_share(self.recipe.optimizer, self.engine.updates)
            totals["ema_start_share"] = round(share, 4)
        if published := self.recipe.published:
            hours = {"gpu_hours": totals["gpu_hours"], "published": published.gpu_hours}
            totals["stages"] = {**_earlier_stage_hours(self.recipe), published.stage: hours}
        if self.engine.rank == 0:
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / SUMMARY_FILE).write_text(json.dumps(totals, indent=1) + "\n")
        return totals


def _write_lora(family: Family, weights: Path, folder: Path) -> None:
    """Write the newest adapter's files for diffusers and ComfyUI, all or none of them."""
    draft = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    write_lora_files(family, weights, draft)
    replace_folder(draft, folder)


def _earlier_stage_hours(recipe: Recipe) -> Mapping[str, object]:
    """Return the hours of earlier stages, if this one starts from a checkpoint of theirs."""
    init = Path(recipe.init)  # OUT/step-N/model, OUT/step-N, or OUT
    for folder in (init, *init.parents[:2]) if init.exists() else ():
        if (file := folder / SUMMARY_FILE).is_file():
            try:
                return dict(parse_json(file.read_bytes()).get("stages", {}))
            except (OSError, ValueError, TypeError, AttributeError):
                log.warning("%s is damaged: the hours of earlier stages are not counted", file)
    return {}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def new_model(recipe: Recipe, checkpoint: Path | None = None) -> nn.Module:
    """Return the network that training starts from: random, or read from `init`.

    checkpoint: the weights of a run to resume, read in the place of `init` with every buffer.

    Raise ConfigError if `init` expects text states of another width than the recipe's.
    """
    family = family_of(recipe)
    resumed = checkpoint if recipe.adapter is None else None  # an adapter's base is at init
    network = family.load_network(resumed) if resumed else family.new_network(recipe)
    model = add_adapter(network, family, recipe)
    size, source = family.text_size(model), resumed or recipe.init
    width = recipe.network.caption_channels
    if size.width != width:
        raise ConfigError(
            f"{source} reads text states of width {size.width}, network.caption_channels is "
            f"{width}: set it to {size.width}, or start from another init"
        )
    if size.tokens != recipe.text_tokens:
        raise ConfigError(
            f"{source} reads {size.tokens} tokens, text_tokens is {recipe.text_tokens}: set it to "
            f"{size.tokens}, or start from another init"
        )
    return model


def open_engine(model: nn.Module, recipe: Recipe, device: torch.device) -> Engine:
    """Return the recipe's engine around a model, with kernels and compiled blocks if it says so."""
    family = find_family(recipe.family)
    if recipe.kernels and recipe.strategy != "gemini":  # Gemini hooks PyTorch's own operations only
        family.use_kernels(model, device, DTYPES[recipe.precision])
    blocks = family.blocks(model)
    cast(Any, model).keep_attention = recipe.keep_attention
    if recipe.offload_blocks:
        offload_blocks(blocks[: recipe.offload_blocks], device)
    if recipe.compile:
        compile_blocks(blocks)
    return make_engine(model, blocks, recipe, device)
