"""The settings of a training run as frozen dataclasses; comments give their units."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from finetune.config.default_prompts import DEFAULT_PROMPTS
from finetune.config.flow import Flow
from finetune.config.limits import check_recipe

STRICT: dict[str, Any] = {"extra": "forbid", "strict": True}
ALL_BLOCKS = 2**31


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Clips of one resolution and length, which share a batch."""

    __pydantic_config__: ClassVar = STRICT
    resolution: str  # a name of brickfilm/schema/aspect_ratios.json
    frames: int  # 1: images
    batch_size: int  # clips per step on each GPU
    micro_batch_size: int = 0  # clips per backward pass; 0: the whole batch. Gradients are float32
    keep_prob: float = 1.0  # share of fitting clips to keep; the others try the next smaller bucket
    activation_checkpointing: bool | int = False  # blocks to recompute in backward; true: all

    @property
    def clips_per_pass(self) -> int:
        """Clips of one forward and backward pass."""
        return self.micro_batch_size or self.batch_size

    def __str__(self) -> str:
        return f"{self.resolution} x {self.frames}"


@dataclass(frozen=True, kw_only=True)
class Network:
    """The shape of a network that starts from random weights; the defaults are XL/2."""

    __pydantic_config__: ClassVar = STRICT
    depth: int = 28
    hidden_size: int = 1152
    num_heads: int = 16
    caption_channels: int = 4096
    round_scalars: bool = True  # as the published weights were trained; see docs/finetune.md


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate as a function of the step; functions in `finetune.training.lr_schedule`."""

    __pydantic_config__: ClassVar = STRICT
    kind: Literal["constant", "cosine_then_constant", "one_cycle"] = "constant"
    start: float = 1e-7
    peak: float = 1e-5
    final: float = 1e-5
    warmup: int = 0  # steps
    cooldown: int = 0  # steps
    offset: int = 0  # steps of earlier stages, for a schedule over several stages


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """AdamW; the defaults are those of both published recipes."""

    __pydantic_config__: ClassVar = STRICT
    kind: Literal["adamw", "hybrid_adam"] = "adamw"  # hybrid_adam: ColossalAI's, needs nvcc
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    grad_clip: float = 1.0  # largest gradient norm; 0: no clipping
    ema: float = 0.9999  # decay of the EMA weights per step; 0: no EMA


@dataclass(frozen=True, kw_only=True)
class LossSpikes:
    """Limits beyond which a step is skipped or the run stops."""

    __pydantic_config__: ClassVar = STRICT
    threshold: float = 10.0  # times the running mean of loss or gradient norm; 0: NaN and inf only
    warmup_steps: int = 100  # steps before the threshold applies
    max_consecutive_skips: int = 10  # skipped steps in a row that stop the run


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Frequency and retention of checkpoints."""

    __pydantic_config__: ClassVar = STRICT
    every: int = 500  # steps
    keep_last: int = 3  # newest checkpoints to keep; 0: all
    keep_every: int = 0  # steps; multiples are never deleted; 0: none
    shard_mib: int = 2048


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Samples of the EMA weights at fixed noise, before the first step and then regularly."""

    __pydantic_config__: ClassVar = STRICT
    prompts: tuple[str, ...] | Literal["default"] = ()  # default: DEFAULT_PROMPTS
    every: int = 0  # steps; 0: at every checkpoint
    frames: int = 32
    height: int = 360
    width: int = 640
    fps: float = 8.0
    steps: int = 100
    guidance: float = 7.0
    seed: int = 42  # of the first prompt; each next prompt adds 1
    sweep: tuple[float, ...] = (0.0, 1.0, 3.0, 7.0)  # guidance of the first prompt, at the end
    loss_batches: int = 2  # training batches per rank, at fixed noise and timesteps

    @property
    def sampled_prompts(self) -> tuple[str, ...]:
        return DEFAULT_PROMPTS if self.prompts == "default" else self.prompts


@dataclass(frozen=True, kw_only=True)
class Log:
    """The logger, and how often it is written to."""

    __pydantic_config__: ClassVar = STRICT
    to: Literal["none", "tensorboard", "wandb", "trackio"] = "tensorboard"
    every: int = 1  # steps
    project: str = "finetune"


@dataclass(frozen=True, kw_only=True)
class PublishedCost:
    """GPU-hours published for the same stage, shown beside this run's summary."""

    __pydantic_config__: ClassVar = STRICT
    gpu_hours: float
    stage: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of one training stage."""

    __pydantic_config__: ClassVar = STRICT
    dataset: str  # a folder or Hub id with brickfilm's columns, or an Open-Sora CSV
    out: str  # folder of the run: checkpoints, logs, samples, summary
    steps: int
    buckets: tuple[Bucket, ...]
    family: str = "stdit2"  # a model family, or module:object for one of your own
    init: str = "random"  # "random", a folder, a checkpoint file, or a Hub id
    seed: int = 42

    frame_interval: int = 1  # a clip is used if it has more than frames * interval frames
    windows_per_clip: int = 1  # of latents that are not made frame by frame, evenly spread
    fps: Literal["sampled", "source"] = "sampled"  # conditioning: of the sampled frames, or file's
    frame_masks: bool = True  # mask frames of 25 % of clips, in nine kinds

    vae: str = "stabilityai/sd-vae-ft-ema"  # or "tiny-random"
    text_encoder: str = "DeepFloyd/t5-v1_1-xxl"  # or "tiny-random"
    text_tokens: int = 200
    long_captions: Literal["truncate", "error"] = "truncate"  # captions over text_tokens
    caption_dropout: float = 0.1  # share of captions replaced by the null text
    latents: Literal["cached", "online"] = "cached"  # online: encode in every step
    cache: str = "work/cache"  # folder
    cache_dtype: Literal["float32", "float16", "bfloat16"] = "float16"
    workers: int = 2  # loader processes per rank; 0: load in the training process
    threads: int = 0  # torch threads per process; 0: torch decides

    engine: Literal["torch", "colossalai"] = "torch"
    # auto: a single device, else ddp under torch and zero2 under colossalai
    strategy: Literal["auto", "ddp", "fsdp2", "zero1", "zero2", "gemini"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    compile: bool = False  # compile the blocks; they share one graph per clip size
    kernels: bool = True  # use this package's Triton kernels where they run

    network: Network = field(default_factory=Network)
    schedule: Schedule = field(default_factory=Schedule)
    optimizer: Optimizer = field(default_factory=Optimizer)
    loss_spikes: LossSpikes = field(default_factory=LossSpikes)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    validation: Validation = field(default_factory=Validation)
    flow: Flow = field(default_factory=Flow)
    log: Log = field(default_factory=Log)
    published: PublishedCost | None = None

    def __post_init__(self) -> None:
        check_recipe(self)

    def checkpointed_blocks(self, bucket: Bucket) -> int:
        """Return how many blocks, at most, a bucket recomputes in the backward pass."""
        blocks = bucket.activation_checkpointing
        return ALL_BLOCKS if blocks is True else int(blocks)

    def as_dict(self) -> dict[str, Any]:
        """Return all settings, defaults included, as a checkpoint's manifest records them."""
        return dataclasses.asdict(self)
