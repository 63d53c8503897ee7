"""Everything a run holds open: data, engine, encoders, logs, and where it stands."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist

from finetune.config import Recipe, Schedule
from finetune.data.bucket_coverage import BucketCoverage, bucket_coverage
from finetune.data.cache_layout import cached_clips, index_folder
from finetune.data.index import Index, build_index
from finetune.data.loader import Batch, SampleLoader, batches
from finetune.data.sampler import Sampler, SamplerState
from finetune.engines.base import Engine, weight_norm
from finetune.engines.distributed import all_reduce_sum, rank_and_world_size
from finetune.engines.factory import make_engine
from finetune.errors import CheckpointError, ConfigError
from finetune.models.stdit2.config import STDiT2Config
from finetune.models.stdit2.network import STDiT2
from finetune.objectives import Diffusion
from finetune.training import checkpoint
from finetune.training.batch_encoder import BatchEncoder
from finetune.training.loggers import Logger, NoLogger, open_logger
from finetune.training.loss_spikes import SpikeDetector
from finetune.training.lr_schedule import constant, cosine_then_constant, one_cycle
from finetune.training.resume import ResumePoint, find_resume_point, lock_run_folder
from finetune.training.step_metrics import StepMetrics, StepTimer
from finetune.training.system_metrics import Monitor, make_monitor

log = logging.getLogger(__name__)

MONITOR_EVERY = 10  # steps
DATA_VERSION_SEED_STRIDE = 1_000_003  # added to the seed each time the data change


@dataclass
class TrainingRun:
    """One run, from its first or a later step."""

    recipe: Recipe
    device: torch.device
    index: Index
    coverage: BucketCoverage
    engine: Engine
    batch_encoder: BatchEncoder
    diffusion: Diffusion
    log: Logger = field(default_factory=NoLogger)
    monitor: Monitor = field(init=False)
    spike_detector: SpikeDetector = field(init=False)
    timer: StepTimer = field(default_factory=StepTimer)
    step: int = 0
    sampler_state: SamplerState = field(default_factory=SamplerState)
    data_version: int = 0  # how often the data changed under this run
    bad_samples: int = 0  # samples
    warned_reasons: set[str] = field(default_factory=set)  # the samples of this rank, and why
    stop_requested: bool = False  # this rank was asked to

    def __post_init__(self) -> None:
        self.monitor, self.spike_detector = (
            make_monitor(self.device),
            SpikeDetector(self.recipe.loss_spikes),
        )

    @property
    def out(self) -> Path:
        return Path(self.recipe.out)

    def batches(self) -> Iterator[Batch]:
        """This rank's batches from where the run stands, for ever."""
        seed = self.recipe.seed + DATA_VERSION_SEED_STRIDE * self.data_version
        sampler = Sampler(self.index, self.recipe, self.coverage.usable, seed)
        load = SampleLoader(index_folder(self.recipe), self.recipe, self.index)
        rank, world_size = rank_and_world_size()
        return batches(
            load,
            sampler,
            self.sampler_state,
            rank=rank,
            world_size=world_size,
            workers=self.recipe.workers,
        )

    def warn_skipped(self, skipped: Sequence[str]) -> None:
        """Say why samples are skipped, of each reason once."""
        for reason in skipped:
            if reason not in self.warned_reasons:
                log.warning("left out: %s", reason)
                self.warned_reasons.add(reason)

    def log_step(self, seen: StepMetrics, lr: float, norm: float, *, taken: bool) -> None:
        """Log a finished step."""
        values = {**seen.values(), "lr": lr, "grad_norm": norm}
        values |= self.timer.step(seen.clips, self.engine.world_size)
        values |= {
            "skipped_steps": self.spike_detector.skipped + (not taken),
            "bad_samples": self.bad_samples,
        }
        if self.device.type == "cuda":
            values["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        if self.step % MONITOR_EVERY == 0:
            values["weight_norm"] = weight_norm(self.engine)
            values |= self._gather_monitors()
        if self.step % self.recipe.log.every == 0:
            self.log.log(self.step, values)

    def _gather_monitors(self) -> dict[str, float]:
        """Every rank's monitor, its number in front."""
        mine = self.monitor.read()
        everyone: list[dict[str, float]] = [mine] * self.engine.world_size
        if self.engine.world_size > 1:
            dist.all_gather_object(everyone, mine)
        return {f"rank{r}/{n}": v for r, values in enumerate(everyone) for n, v in values.items()}

    def any_rank_stop_requested(self) -> bool:
        """Was any rank? Every rank must call."""
        return bool(all_reduce_sum(torch.tensor([self.stop_requested], dtype=torch.float64)).any())

    def save(self) -> Path:
        """Write a checkpoint of where the run stands."""
        about = {
            "epoch": self.sampler_state.samples / max(1, int(self.coverage.usable.sum())),
            "position": dict(self.sampler_state.drawn),
            "samples": self.sampler_state.samples,
            "dataset": self.index.fingerprint,
            "generation": self.data_version,
            "bad_samples": self.bad_samples,
            "gpu_hours": self.timer.hours,
            "watch": self.spike_detector.state(),
            "recipe": self.recipe.as_dict(),
            "hardware": _device_name(self.device),
        }
        return checkpoint.save(self.out, self.step, self.engine, about, self.recipe.checkpoints)

    def resume(self, start: ResumePoint, *, new_data: bool) -> None:
        """Go on from a checkpoint, with the same data or (`new_data`) others."""
        folder, manifest = start
        same = manifest["dataset"] == self.index.fingerprint
        if not (same or new_data):
            raise CheckpointError(
                f"{folder} was trained on other data than {self.recipe.dataset} now holds "
                f"(fingerprint {manifest['dataset'][:12]}, now {self.index.fingerprint[:12]}): "
                "give back the old data, or --new-data to draw afresh from these"
            )
        checkpoint.load(folder, manifest, self.engine)
        self.step = manifest["step"]
        self.bad_samples = manifest["bad_samples"]
        self.timer = StepTimer(manifest["gpu_hours"])
        self.spike_detector.restore(manifest["watch"])
        self.data_version = manifest["generation"] + (not same)
        self.sampler_state = SamplerState(manifest["position"]) if same else SamplerState()

    def summary(self) -> dict[str, object]:
        """What the run came to; written to `summary.json`."""
        found: dict[str, object] = {
            "steps": self.step,
            "samples": self.sampler_state.samples,
            "gpu_hours": round(self.timer.hours, 4),
            "skipped_steps": self.spike_detector.skipped,
            "bad_samples": self.bad_samples,
        }
        if self.recipe.published:
            mine = {"gpu_hours": found["gpu_hours"], "published": self.recipe.published.gpu_hours}
            found["stages"] = {
                **_earlier_stage_hours(self.recipe),
                self.recipe.published.stage: mine,
            }
        if self.engine.rank == 0:
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / "summary.json").write_text(json.dumps(found, indent=1) + "\n")
        return found


def _earlier_stage_hours(recipe: Recipe) -> dict[str, object]:
    """Hours of the stages before this one, if it starts from a checkpoint of theirs."""
    init = Path(recipe.init)
    for folder in (
        init.parents[:2] if init.exists() else ()
    ):  # init is OUT/step-N/model, or OUT/step-N
        if (folder / "summary.json").is_file():
            stages: dict[str, object] = json.loads((folder / "summary.json").read_text()).get(
                "stages", {}
            )
            return stages
    return {}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


@contextmanager
def open_run(
    recipe: Recipe, device: torch.device, *, resume: str | None, new_data: bool
) -> Iterator[TrainingRun]:
    """Open a run and close it; SIGTERM asks it to stop after its step.

    resume: "auto" (the newest checkpoint of `recipe.out`, if there is one), a folder, or none.
    """
    with lock_run_folder(Path(recipe.out)):
        run = _open(recipe, device, resume=resume, new_data=new_data)
        with _stop_on_sigterm(run):
            try:
                yield run
            finally:
                run.log.close()


def _open(
    recipe: Recipe, device: torch.device, *, resume: str | None, new_data: bool
) -> TrainingRun:
    """A run that stands where it begins, its table of clips shown."""
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    start = find_resume_point(Path(recipe.out), resume)
    index = _build_index(recipe)
    held = cached_clips(index, recipe) if recipe.latents == "cached" else None
    coverage = bucket_coverage(index, recipe, held)
    engine = make_engine(new_model(recipe), recipe, device)
    batch_encoder, diffusion = BatchEncoder(recipe, index, device), Diffusion.linear().to(device)
    run = TrainingRun(recipe, device, index, coverage, engine, batch_encoder, diffusion)
    if start:
        run.resume(start, new_data=new_data)
    if engine.rank == 0:
        print(coverage, flush=True)
        run.log = open_logger(recipe, run.step)
    return run


def _build_index(recipe: Recipe) -> Index:
    """The dataset's index, built by rank 0."""
    rank, world_size = rank_and_world_size()
    if rank == 0:
        build_index(recipe.dataset, index_folder(recipe))
    if world_size > 1:
        dist.barrier()
    return Index.open(index_folder(recipe))


@contextmanager
def _stop_on_sigterm(run: TrainingRun) -> Iterator[None]:
    """Let SIGTERM end the run after its step, a checkpoint written."""

    def asked(_number: int, _frame: FrameType | None) -> None:
        run.stop_requested = True

    before = signal.signal(signal.SIGTERM, asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def new_model(recipe: Recipe) -> STDiT2:
    """The network that training starts from: random, or read from `init`."""
    if recipe.init != "random":
        return _read_model(recipe)
    return STDiT2(STDiT2Config.from_network(recipe.network, text_tokens=recipe.text_tokens))


def _read_model(recipe: Recipe) -> STDiT2:
    """`init`, if it reads the states that the recipe's text encoder gives."""
    model = STDiT2.from_pretrained(recipe.init)
    takes, given = model.config.caption_channels, recipe.network.caption_channels
    if takes != given:
        raise ConfigError(
            f"{recipe.init} reads text states of width {takes}, network.caption_channels is "
            f"{given}: set it to {takes}, or begin from another init"
        )
    return model


def learning_rate(schedule: Schedule, step: int) -> float:
    """The rate in force at a step, counted from 0 over all stages of the schedule."""
    n, s = step + schedule.offset, schedule
    if s.kind == "cosine_then_constant":
        return cosine_then_constant(n, start=s.start, peak=s.peak, warmup=s.warmup)
    if s.kind == "one_cycle":
        return one_cycle(
            n, start=s.start, peak=s.peak, final=s.final, warmup=s.warmup, cooldown=s.cooldown
        )
    return constant(n, peak=s.peak)
