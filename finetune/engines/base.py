"""The protocol of a parallel engine.

A *shard* is this rank's float32 part of a parameter, or of a tensor of its shape (EMA weight, Adam
moment). `gather` and `shard` convert between shards and full tensors, so that checkpoints and the
EMA do not depend on how an engine splits tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from finetune.engines.distributed import all_reduce_sum
from finetune.engines.ema import EMA
from finetune.models.adapters import has_adapter

ShardDict = dict[str, Tensor]
AllowStep = Callable[[float], bool]
"""Tells from a gradient norm if the step may be taken."""


class StepResult(NamedTuple):
    """The outcome of an optimizer step."""

    norm: float  # of the whole gradient, before clipping
    taken: bool


class LossScale:
    """The factor on the loss in float16; 1 in other precisions.

    scaler: ColossalAI's, whose own state dict leaves out its counters.
    """

    STATE_FIELDS = ("scale", "growth_step", "hysteresis_step")

    def __init__(self, scaler: Any = None) -> None:
        self._scaler = scaler

    @property
    def value(self) -> float:
        return float(self._scaler.scale) if self._scaler else 1.0

    def state(self) -> dict[str, float]:
        """Return the state for a checkpoint; empty without a scaler."""
        fields = self.STATE_FIELDS if self._scaler else ()
        return {name: float(getattr(self._scaler, f"_{name}")) for name in fields}

    def restore(self, state: Mapping[str, float]) -> None:
        """Set the scaler to `state`; an empty one leaves its initial scale."""
        if self._scaler and state:
            self._scaler._scale.fill_(state["scale"])
            self._scaler._growth_step = int(state["growth_step"])
            self._scaler._hysteresis_step = int(state["hysteresis_step"])


class Engine(Protocol):
    """A way to train on one or many devices; all engines give the same losses."""

    rank: int
    world_size: int
    device: torch.device
    module: torch.nn.Module  # the callable network; its parameters keep the model's names
    ema: EMA
    frozen: ShardDict  # state of the model beside its trained parameters, full and in float32
    updates: int  # optimizer steps taken, for Adam's bias correction
    loss_scale: LossScale

    def backward(self, loss: Tensor) -> None:
        """Add a micro-batch's gradients, in float32 and averaged over ranks, to this step's."""

    def step(self, lr: float, allow: AllowStep) -> StepResult:
        """Clip gradients, update weights and EMA if `allow` agrees, and clear the gradients."""

    def shards(self) -> dict[str, ShardDict]:
        """Return this rank's "model", "ema", "exp_avg" and "exp_avg_sq" shards; not copies."""

    def gather(self, name: str, shard: Tensor) -> Tensor:
        """Return the full float32 tensor of a shard; every rank must call."""

    def shard(self, name: str, full: Tensor) -> Tensor:
        """Return this rank's shard of a full tensor."""

    def sync_compute_weights(self) -> None:
        """Copy the float32 weights to the compute weights, after the former were set."""

    def swap_in(self, shards: ShardDict) -> None:
        """Put other weights in place for sampling; `sync_compute_weights` restores the model's."""


def trainable_parameters(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Yield the trained parameters with their names."""
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def frozen_tensors(model: torch.nn.Module) -> ShardDict:
    """Return the state of a model beside its trained parameters, in float32 on the CPU.

    Empty for a network with an adapter, whose frozen base is where training started from.
    """
    if has_adapter(model):
        return {}
    names = {name for name, _ in trainable_parameters(model)}
    state = model.state_dict()
    return {n: t.detach().cpu().float().clone() for n, t in state.items() if n not in names}


def weight_norm(engine: Engine) -> float:
    """Return the norm of all trained weights over all ranks; every rank must call."""
    shards = list(engine.shards()["model"].values())
    norm = global_norm(shards)
    if any(isinstance(shard, DTensor) for shard in shards):
        return norm
    full_size = sum(p.numel() for _, p in trainable_parameters(engine.module))
    if sum(s.numel() for s in shards) == full_size:
        return norm
    return float(all_reduce_sum(torch.tensor(norm).double().square()).sqrt())


def global_norm(tensors: Sequence[Tensor]) -> float:
    """Return the norm of tensors together; every rank of a DTensor must call."""
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors))))
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
