"""A training recipe: strict, typed TOML with `key=value` overrides.

Every setting of a run stands in one frozen dataclass; its comments give the units. An unknown key
is an error that names the nearest known one, a wrong type one that says what was expected.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from finetune.errors import ConfigError
from finetune.limits import check_recipe

STRICT: dict[str, Any] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One kind of batch: clips of one resolution and length."""

    __pydantic_config__: ClassVar = STRICT
    resolution: str  # a name of data/aspect_ratios.json
    frames: int  # 1: images
    batch: int  # clips a step on each GPU
    micro: int = 0  # clips a backward pass, gradients summed in float32; 0: all of them at once
    keep: float = 1.0  # share of fitting clips that stay; the others go to the next shorter bucket
    # blocks whose activations are made again in backward, for memory; true: all, a third longer
    recompute: bool | int = False


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
    """The learning rate as a function of the step; `finetune.training.lr_schedule` has the functions."""

    __pydantic_config__: ClassVar = STRICT
    kind: Literal["constant", "cosine_then_constant", "one_cycle"] = "constant"
    start: float = 1e-7
    peak: float = 1e-5
    final: float = 1e-5
    warmup: int = 0  # steps
    cooldown: int = 0  # steps
    offset: int = 0  # steps of earlier stages, for a schedule that runs over several


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """AdamW, as both recipes used it."""

    __pydantic_config__: ClassVar = STRICT
    kind: Literal["adamw", "hybrid_adam"] = "adamw"  # hybrid_adam: ColossalAI's, needs nvcc
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    grad_clip: float = 1.0  # largest gradient norm; 0: none
    ema: float = 0.9999  # decay of the averaged weights a step; 0: none are kept


@dataclass(frozen=True, kw_only=True)
class LossSpikes:
    """When a step is skipped, and when skipping has to stop."""

    __pydantic_config__: ClassVar = STRICT
    spike: float = 10.0  # times the running mean of loss or gradient norm; 0: only NaN and inf skip
    after: int = 100  # steps before a spike can be told from a beginning
    stop_after: int = 10  # skipped steps in a row that end the run


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """What is kept on disk."""

    __pydantic_config__: ClassVar = STRICT
    every: int = 500  # steps
    keep: int = 3  # the newest so many; 0: all
    milestone: int = 0  # steps: multiples are kept for ever; 0: none
    shard_mib: int = 2048


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Samples of the averaged weights at fixed noise, before the first step and then regularly."""

    __pydantic_config__: ClassVar = STRICT
    prompts: tuple[str, ...] | Literal["eight"] = ()  # "eight": ours, finetune/samples/examples.py
    every: int = 0  # steps; 0: at every checkpoint
    frames: int = 32
    height: int = 360
    width: int = 640
    fps: float = 8.0
    steps: int = 100
    guidance: float = 7.0
    seed: int = 42  # of the first prompt; the next ones count on from it
    sweep: tuple[float, ...] = (0.0, 1.0, 3.0, 7.0)  # guidance of the first prompt, at the end
    loss_batches: int = 2  # training batches a rank, at fixed noise and timesteps


@dataclass(frozen=True, kw_only=True)
class Log:
    """Where the figures go."""

    __pydantic_config__: ClassVar = STRICT
    to: Literal["none", "tensorboard", "wandb", "trackio"] = "tensorboard"
    every: int = 1  # steps
    project: str = "finetune"


@dataclass(frozen=True, kw_only=True)
class PublishedCost:
    """What the predecessor's same stage took, shown beside this run's summary."""

    __pydantic_config__: ClassVar = STRICT
    gpu_hours: float
    stage: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One stage of one training run."""

    __pydantic_config__: ClassVar = STRICT
    dataset: str  # a folder or Hub id with brickfilm's columns, or an Open-Sora CSV
    out: str  # folder of the run: checkpoints, logs, samples, summary
    steps: int
    buckets: tuple[Bucket, ...]
    init: str = "random"  # "random", a folder, a checkpoint file, or a Hub id
    seed: int = 42

    frame_interval: int = 1  # a clip is used if it has more than frames * interval frames
    fps: Literal["seen", "source"] = "seen"  # of the frames the model sees, or of the file
    masks: bool = True  # frame masks: 25 % of clips, in nine kinds

    vae: str = "stabilityai/sd-vae-ft-ema"  # or "tiny-random"
    text_encoder: str = "DeepFloyd/t5-v1_1-xxl"  # or "tiny-random"
    text_tokens: int = 200
    long_text: Literal["cut", "error"] = "cut"  # captions over text_tokens: cut and count, or stop
    caption_dropout: float = 0.1  # share of captions replaced by the null text
    source: Literal["cache", "pixels"] = "cache"
    cache: str = "work/cache"  # folder
    cache_dtype: Literal["float32", "float16", "bfloat16"] = "float16"
    workers: int = 2  # loader processes a rank; 0: load in the training process
    threads: int = 0  # torch threads a process; 0: torch decides

    engine: Literal["torch", "colossalai"] = "torch"
    # auto: one device alone, else ddp under torch and zero2 under colossalai
    strategy: Literal["auto", "ddp", "fsdp2", "zero1", "zero2", "gemini"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    compile: bool = False  # the blocks; all share one graph for each size of clip
    kernels: bool = True  # our Triton kernels where they run; plain PyTorch elsewhere

    network: Network = field(default_factory=Network)
    schedule: Schedule = field(default_factory=Schedule)
    optimizer: Optimizer = field(default_factory=Optimizer)
    guard: LossSpikes = field(default_factory=LossSpikes)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    validation: Validation = field(default_factory=Validation)
    log: Log = field(default_factory=Log)
    published: PublishedCost | None = None

    def __post_init__(self) -> None:
        check_recipe(self)

    def checkpointed_blocks(self, bucket: Bucket) -> int:
        """How many of the network's blocks that is."""
        return self.network.depth if bucket.recompute is True else int(bucket.recompute)

    def as_dict(self) -> dict[str, Any]:
        """All settings, defaults filled in: what a checkpoint's manifest records."""
        return dataclasses.asdict(self)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by path or by name (`tiny/cpu`), `key=value` overrides applied.

    Raises ConfigError for a file that is not there, is not TOML, or does not fit `Recipe`.
    """
    file = find_recipe(path)
    try:
        data = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error
    for override in overrides:
        _apply_override(data, override)
    return parse_recipe(data, origin=str(file))


def find_recipe(path: str | Path) -> Path:
    """The file itself, or the one of that name among the recipes that the package carries."""
    packaged = Path(__file__).parent / "recipes"
    checkout = Path(__file__).parent.parent / "recipes"
    tried = [Path(path), *(root / f"{path}" for root in (checkout, packaged))]
    tried += [candidate.with_name(f"{candidate.name}.toml") for candidate in tried]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    known = sorted(
        str(p.relative_to(root).with_suffix(""))
        for root in {checkout, packaged}
        for p in root.glob("*/*.toml")
    )
    raise ConfigError(f"no recipe {str(path)!r}: give a .toml file, or one of {', '.join(known)}")


def parse_recipe(data: dict[str, Any], *, origin: str) -> Recipe:
    """Check parsed TOML against `Recipe`; `origin` is named in the error."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Recipe).validate_json(json.dumps(data))  # JSON: lists may be tuples
    except ValidationError as error:
        lines = dict.fromkeys(_describe(problem, data) for problem in error.errors())
        raise ConfigError(f"{origin}: " + "; ".join(lines)) from error


def _describe(problem: Any, data: dict[str, Any]) -> str:
    """One validation problem as a sentence: the key, the value, the remedy."""
    path = [part for part in problem["loc"] if f"{part}".isalnum() or f"{part}".isidentifier()]
    *parents, last = path or ["recipe"]  # what is left out names one of several kinds
    dotted = ".".join(map(str, path))
    if problem["type"] == "unexpected_keyword_argument":
        if last in (f.name for f in dataclasses.fields(Bucket)) and not parents:
            return f"{dotted!r} is a bucket's own setting: name it as 'buckets.0.{last}'"
        near = difflib.get_close_matches(str(last), _keys_at(parents), n=1, cutoff=0)
        return f"unknown key {dotted!r}: did you mean {near[0]!r}?"
    if last in ("bool", "int"):  # the kinds that one setting may have
        return (
            f"{'.'.join(map(str, parents))} = {problem['input']!r}: true, false or a whole number"
        )
    if problem["type"] == "missing":
        return f"key {dotted!r} is missing"
    return f"{dotted} = {problem['input']!r}: {problem['msg'].lower()}"


def _keys_at(parents: Sequence[str | int]) -> list[str]:
    """Names of the settings of the dataclass that this path leads to."""
    kind: Any = Recipe
    for part in parents:
        if isinstance(part, str):
            hint = typing.get_type_hints(kind)[part]
            kind = next((a for a in (*typing.get_args(hint), hint) if _is_settings(a)), kind)
    return [f.name for f in dataclasses.fields(kind)]


def _is_settings(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _apply_override(data: dict[str, Any], override: str) -> None:
    """Set `a.b.0.c=value` in nested TOML data; what is no TOML value is a string."""
    dotted, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"override {override!r} has no '=': write key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = dotted.strip().split(".")
    place: Any = data
    try:
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        place[int(last) if isinstance(place, list) else last] = value
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ConfigError(
            f"override {override!r} leads nowhere in this recipe ({error}): write the names of "
            "tables and the numbers of a list's items, from 0, with dots between"
        ) from error
