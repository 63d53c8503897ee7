"""The settings of a training run as frozen dataclasses.

A setting's comment is its line in docs/finetune-recipes.md (`python -m tests.kit.recipe_tables`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Literal

from brickfilm.schema.frame_sampling import FrameSampling
from finetune.config.bounds import (
    STRICT,
    AboveZero,
    AtLeastOne,
    Count,
    Decay,
    Finite,
    Name,
    NonNegative,
    Positive,
    Share,
    ShareAboveZero,
)
from finetune.config.default_prompts import DEFAULT_PROMPTS
from finetune.config.rules import check_recipe

ALL_BLOCKS = 2**31


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Clips of one resolution and length, which share a batch."""

    __pydantic_config__: ClassVar = STRICT
    resolution: str  # a name of `brickfilm/schema/aspect_ratios.json`: 144p, 240p, 360p, ...
    frames: Positive  # 1: images
    batch_size: Positive  # clips per step on each GPU
    # clips per backward pass, gradients summed in float32; 0: the whole batch
    micro_batch_size: Count = 0
    # share of fitting clips to keep; the others try the next smaller bucket
    keep_prob: ShareAboveZero = 1.0
    # number of blocks to recompute in the backward pass, to save memory; true: all, a third slower
    activation_checkpointing: bool | int = False

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
    depth: Positive = 28  # blocks
    hidden_size: Positive = 1152  # width
    num_heads: Positive = 16  # attention heads
    caption_channels: Positive = 4096  # width of the text states
    # as the published weights were trained; see
    # [Fine-tune](finetune.md#what-was-run-and-what-was-not)
    round_scalars: bool = True


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Low-rank layers (LoRA) that are trained in place of the network's own weights."""

    __pydantic_config__: ClassVar = STRICT
    rank: Positive = 32  # of each layer's change
    alpha: NonNegative = 0.0  # the change is scaled by alpha / rank; 0: the rank
    targets: tuple[Name, ...] = ()  # ends of the names of linear layers; none: the family's
    dropout: Share = 0.0  # of the layers' inputs
    # the frozen blocks' weights: in the run's precision; int8 with a scale for each row, which
    # halves their memory; or fp8, which also multiplies in float8: faster on Hopper, less exact
    base: Literal["full", "int8", "fp8"] = "full"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate as a function of the step; functions in `finetune.training.lr_schedule`."""

    __pydantic_config__: ClassVar = STRICT
    kind: Literal["constant", "cosine_then_constant", "one_cycle"] = "constant"  # shape
    start: NonNegative = 1e-7  # learning rate at the first step
    peak: NonNegative = 1e-5  # learning rate after the warm-up
    final: NonNegative = 1e-5  # learning rate after the cool-down
    warmup: Count = 0  # steps
    cooldown: Count = 0  # steps
    offset: Count = 0  # steps of earlier stages, for a schedule over several stages


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """AdamW; the defaults but ema_warmup are those of both published recipes."""

    __pydantic_config__: ClassVar = STRICT
    # adamw_8bit: moments of 8 bits, needs the extra `8bit`; hybrid_adam: ColossalAI's, needs nvcc
    kind: Literal["adamw", "adamw_8bit", "hybrid_adam"] = "adamw"
    betas: tuple[Decay, Decay] = (0.9, 0.999)  # of AdamW
    eps: NonNegative = 1e-8  # of AdamW
    weight_decay: NonNegative = 0.0  # of AdamW
    grad_clip: NonNegative = 1.0  # largest gradient norm; 0: no clipping
    ema: Decay = 0.9999  # decay of the EMA weights per step; 0: no EMA
    # lower the decay of update n to (1 + n) / (10 + n) at first; without it, a short run's EMA is
    # mostly its initial weights
    ema_warmup: bool = True


@dataclass(frozen=True, kw_only=True)
class LossSpikes:
    """Limits beyond which a step is skipped or the run stops."""

    __pydantic_config__: ClassVar = STRICT
    # skip a step above this many times the running mean of loss or gradient norm; 0: skip NaN and
    # inf only
    threshold: NonNegative = 10.0
    warmup_steps: Count = 100  # steps before the threshold applies
    max_consecutive_skips: Positive = 10  # skipped steps in a row that stop the run


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Frequency and retention of checkpoints."""

    __pydantic_config__: ClassVar = STRICT
    every: Positive = 500  # steps
    keep_last: Count = 3  # newest checkpoints to keep; 0: all
    keep_every: Count = 0  # steps; multiples are never deleted; 0: none
    shard_mib: Positive = 2048  # largest file of weights, MiB
    # go on with the next steps while files are written, from a copy in the host's memory
    asynchronous: bool = False


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Samples of the EMA weights at fixed noise, before the first step and then regularly."""

    __pydantic_config__: ClassVar = STRICT
    # prompts to sample; none: no validation; `"default"`: the package's eight
    prompts: tuple[str, ...] | Literal["default"] = ()
    every: Count = 0  # steps; 0: at every checkpoint
    frames: Positive = 32  # of a sample
    height: Positive = 360  # pixels
    width: Positive = 640  # pixels
    fps: AtLeastOne = 8.0  # conditioning frame rate, and the file's
    steps: Positive = 100  # sampling steps
    guidance: NonNegative = 7.0  # classifier-free guidance scale
    seed: Count = 42  # of the first prompt's noise; each next prompt adds 1
    sweep: tuple[Finite, ...] = (0.0, 1.0, 3.0, 7.0)  # guidance of the first prompt, at the end
    weights: Literal["ema", "raw"] = "ema"  # weights to sample; the other ones too at the end
    # files of the first frames, one a prompt, for families that take one
    images: tuple[Name, ...] = ()
    loss_batches: Count = 2  # training batches per rank, at fixed noise and timesteps

    @property
    def sampled_prompts(self) -> tuple[str, ...]:
        return DEFAULT_PROMPTS if self.prompts == "default" else self.prompts


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Times and weights of the flow matching loss; families of another objective ignore them."""

    __pydantic_config__: ClassVar = STRICT
    # distribution of the times, before the shift
    time_sampling: Literal["logit_normal", "uniform", "mode"] = "logit_normal"
    logit_mean: Finite = 0.0  # of logit_normal
    logit_std: AboveZero = 1.0  # of logit_normal
    mode_scale: Finite = 1.29  # of mode
    uniform_share: Share = 0.1  # share of times that are uniform and not shifted
    shift: NonNegative = 0.0  # of times towards noise, in training and sampling; 0: the family's
    weighting: Literal["none", "cosmap", "bell"] = "none"  # of the loss by time


@dataclass(frozen=True, kw_only=True)
class Log:
    """The logger, and how often it is written to."""

    __pydantic_config__: ClassVar = STRICT
    to: Literal["none", "tensorboard", "wandb", "trackio"] = "tensorboard"  # logger
    every: Positive = 1  # steps
    project: str = "finetune"  # project name at wandb or trackio


@dataclass(frozen=True, kw_only=True)
class PublishedCost:
    """GPU-hours published for the same stage, shown beside this run's summary."""

    __pydantic_config__: ClassVar = STRICT
    gpu_hours: float  # published GPU-hours of the stage
    stage: str  # its name in the summary


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of one training stage."""

    __pydantic_config__: ClassVar = STRICT
    dataset: Name  # a folder, file or Hub id; see [Datasets](finetune.md#datasets)
    out: Name  # folder of the run: checkpoints, logs, samples, summary
    steps: Positive  # optimizer steps of this stage
    buckets: tuple[Bucket, ...]  # list of the table `buckets` below
    family: Name = "stdit2"  # a model family, or `module:object` for one of your own
    init: Name = "random"  # "random", a folder, a checkpoint file, or a Hub id
    seed: Count = 42  # of weights, sampling order, noise and dropout

    # read a dataset of the Hub while training, in place of downloading it first; needs
    # latents = "online"; see [Streaming](finetune.md#streaming)
    streaming: bool = False
    shuffle_buffer: Positive = 200  # of streaming: clips of each reader to choose the next one from
    # of streaming: configuration to read, if there are others than brickfilm's; none: those that
    # the buckets need
    dataset_config: str = ""

    # frames of a clip: every frame_interval-th; those shown at target_fps, so that motion keeps its
    # speed; or each drawing once, for stop motion
    sampling: Literal["interval", "time", "pose"] = "interval"
    # of "interval": a clip is used if it has more than frames * interval frames
    frame_interval: Positive = 1
    target_fps: NonNegative = 0.0  # of "time": frames a second that the model plays
    # windows of each clip, evenly spread, for families whose VAE compresses time; other families
    # use every window
    windows_per_clip: Positive = 1
    # conditioning frame rate: of the sampled frames, or of the file
    fps: Literal["sampled", "source"] = "sampled"
    frame_masks: bool = True  # mask frames in training, of the kinds and at the rates of the family

    vae: Name = "stabilityai/sd-vae-ft-ema"  # Hub id or folder, or `tiny-random`
    text_encoder: Name = "DeepFloyd/t5-v1_1-xxl"  # Hub id or folder, or `tiny-random`
    text_tokens: Positive = 200  # longest caption, in tokens
    # captions over text_tokens: truncate and count them, or stop
    long_captions: Literal["truncate", "error"] = "truncate"
    caption_dropout: Share = 0.1  # share of captions replaced by the null text
    latents: Literal["cached", "online"] = "cached"  # online: encode in every step
    cache: Name = "work/cache"  # folder
    # of cached latent means, standard deviations and text states
    cache_dtype: Literal["float32", "float16", "bfloat16"] = "float16"
    workers: Count = 2  # loader processes per rank; 0: load in the training process
    threads: Count = 0  # torch threads per process; 0: torch decides

    engine: Literal["torch", "colossalai"] = "torch"  # parallel engine
    # ddp, fsdp2 and hsdp of torch, the others of colossalai; auto: a single device, else ddp or
    # zero2; hsdp: FSDP2 within each node, replicated over the nodes
    strategy: Literal["auto", "ddp", "fsdp2", "hsdp", "zero1", "zero2", "gemini"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: a GPU if there is one
    # of compute; float16 with colossalai only
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    compile: bool = False  # compile the blocks; they share one graph per clip size
    # this package's Triton kernels where they run; plain PyTorch elsewhere
    kernels: bool = True
    # keep the outputs of attention of recomputed blocks, for families of diffusers; false: less
    # memory, an eighth slower
    keep_attention: bool = True
    # with an adapter: first blocks whose frozen weights stay in the host's memory, and are copied
    # to the GPU while the block before computes
    offload_blocks: Count = 0

    network: Network = field(default_factory=Network)
    adapter: Adapter | None = None
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

    @property
    def is_sharded(self) -> bool:
        """Tell if FSDP2 shards the weights, over all ranks or within each node."""
        return self.strategy in ("fsdp2", "hsdp")

    @property
    def frame_sampling(self) -> FrameSampling:
        """Return how frames are taken from a clip."""
        rate = Fraction(self.target_fps).limit_denominator(1001)
        return FrameSampling(self.sampling, self.frame_interval, rate)

    def checkpointed_blocks(self, bucket: Bucket) -> int:
        """Return how many blocks, at most, a bucket recomputes in the backward pass."""
        blocks = bucket.activation_checkpointing
        return ALL_BLOCKS if blocks is True else int(blocks)

    def as_dict(self) -> dict[str, Any]:
        """Return all settings, defaults included, as a checkpoint's manifest records them."""
        return dataclasses.asdict(self)
