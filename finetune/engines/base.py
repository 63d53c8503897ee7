"""What the loop asks of a parallel engine, and the plainest one: one device, or DDP.

Between the loop and an engine a tensor is a *shard*: this rank's float32 part of a parameter, or of
anything shaped like it (an average, a moment). `gather` and `shard` go between shards and full
tensors, so checkpoints and averages do not know how an engine splits things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from finetune.config import Optimizer, Recipe
from finetune.engines.distributed import all_reduce_sum, rank_and_world_size
from finetune.engines.ema import EMA
from finetune.kernels import adamw as adamw_kernel
from finetune.kernels import kernels_available
from finetune.kernels.accumulate import GradientAccumulator
from finetune.models.stdit2.network import STDiT2
from finetune.tensors import DTYPES

ShardDict = dict[str, Tensor]
AllowStep = Callable[[float], bool]  # may a step of this gradient norm be taken?


class StepResult(NamedTuple):
    """What became of an optimizer step."""

    norm: float  # of the whole gradient, before clipping
    taken: bool


class LossScale:
    """What the loss is multiplied with in float16, and for how long; in other precisions 1.

    scaler: ColossalAI's, whose own state dict forgets how long.
    """

    STATE_FIELDS = ("scale", "growth_step", "hysteresis_step")

    def __init__(self, scaler: Any = None) -> None:
        self._scaler = scaler

    @property
    def value(self) -> float:
        return float(self._scaler.scale) if self._scaler else 1.0

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps; nothing where there is no scale."""
        kept = self.STATE_FIELDS if self._scaler else ()
        return {name: float(getattr(self._scaler, f"_{name}")) for name in kept}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from `state`; without one the scale begins anew."""
        if self._scaler and state:
            self._scaler._scale.fill_(state["scale"])
            self._scaler._growth_step = int(state["growth_step"])
            self._scaler._hysteresis_step = int(state["hysteresis_step"])


class Engine(Protocol):
    """One way to train on one or many devices; all of them give the same losses."""

    rank: int
    world_size: int
    device: torch.device
    module: STDiT2  # what is called; its parameters keep the model's names
    ema: EMA
    frozen: ShardDict  # what the model holds beside its trained parameters, full and in float32
    updates: int  # steps taken, for Adam's bias correction
    loss_scale: LossScale

    def backward(self, loss: Tensor) -> None:
        """Add a micro-batch's gradients, in float32, to this step's; averaged over ranks."""

    def step(self, lr: float, allow: AllowStep) -> StepResult:
        """Clip, update weights and average, clear the gradients; nothing moves unless allowed."""

    def shards(self) -> dict[str, ShardDict]:
        """This rank's "model", "ema", "exp_avg" and "exp_avg_sq" by parameter; live, no copies."""

    def gather(self, name: str, shard: Tensor) -> Tensor:
        """The full float32 tensor of a shard; every rank must call."""

    def shard(self, name: str, full: Tensor) -> Tensor:
        """This rank's shard of a full tensor."""

    def sync_compute_weights(self) -> None:
        """Make the weights that compute follow the float32 ones, after those were set."""

    def swap_in(self, shards: ShardDict) -> None:
        """Put other weights in place for sampling; `sync_compute_weights` brings the model's back."""


class DataParallel:
    """One device, or DDP: every rank has everything, and ranks average their gradients.

    Gradients, float32 weights and moments are each one flat buffer: one all-reduce, one norm, one
    fused update a step. A parameter's shard is a view into them.
    """

    def __init__(self, model: STDiT2, recipe: Recipe, device: torch.device) -> None:
        self.rank, self.world_size = rank_and_world_size()
        self.device, self.settings, self.updates = device, recipe.optimizer, 0
        self.loss_scale, self.frozen = LossScale(), frozen_tensors(model)
        exact = [
            p.detach().flatten().to(device, torch.float32) for _, p in trainable_parameters(model)
        ]
        self._weights = torch.cat(exact)
        self.module = model.to(device=device, dtype=DTYPES[recipe.precision])
        self._params = dict(trainable_parameters(self.module))
        self._sizes = [p.numel() for p in self._params.values()]
        self._grads = torch.zeros_like(self._weights)
        self._total = GradientAccumulator(self._grads, self._sizes)
        if self.world_size > 1:
            dist.broadcast(self._weights, src=0)
        self._optimizer = make_adamw([self._weights], recipe.optimizer, device)
        self._optimizer.state[self._weights] = initial_adam_state(self._weights, self._optimizer)
        self.ema = EMA(self._views(self._weights), recipe.optimizer.ema)
        self._fused = self._make_fused_buffers() if recipe.kernels and self.ema.decay else None
        self.sync_compute_weights()

    def _make_fused_buffers(self) -> adamw_kernel.FlatState | None:
        """Everything a step touches as flat buffers, for the kernel that does all of it at once."""
        if not kernels_available(self.device):
            return None
        shown = self._weights.to(next(iter(self._params.values())).dtype, copy=True)
        for parameter, view in zip(self._params.values(), self._views(shown).values(), strict=True):
            parameter.data = view
        averaged = self._weights.clone()
        self.ema.shards = self._views(averaged)
        state = self._optimizer.state[self._weights]
        moments = state["exp_avg"], state["exp_avg_sq"]
        return adamw_kernel.FlatState(shown, self._weights, self._grads, *moments, averaged)

    def _update(self, lr: float, factor: float) -> None:
        """Weights, moments and average, one step on; the gradient is taken times `factor`."""
        self.updates += 1
        if self._fused is None:
            self._grads *= factor
            optimizer_step(self._optimizer, [self._weights], [self._grads], lr)
            self.sync_compute_weights()
            self.ema.update(self.shards()["model"])
            return
        s = self.settings
        rates = adamw_kernel.AdamWParams(
            lr=lr,
            step=self.updates,
            betas=s.betas,
            eps=s.eps,
            weight_decay=s.weight_decay,
            ema_decay=s.ema,
        )
        adamw_kernel.adamw_step(self._fused, rates, torch.tensor(factor, device=self.device))

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        self._total.add([parameter.grad for parameter in self._params.values()])
        for parameter in self._params.values():
            parameter.grad = None

    def step(self, lr: float, allow: AllowStep) -> StepResult:
        if self.world_size > 1:
            dist.all_reduce(self._grads)
            self._grads /= self.world_size
        norm = float(self._grads.norm())
        taken = allow(norm)
        if taken:
            self._update(lr, clip_factor(norm, self.settings.grad_clip))
        self._grads.zero_()
        return StepResult(norm, taken)

    def shards(self) -> dict[str, ShardDict]:
        state = self._optimizer.state[self._weights]
        return {
            "model": self._views(self._weights),
            "ema": self.ema.shards,
            "exp_avg": self._views(state["exp_avg"]),
            "exp_avg_sq": self._views(state["exp_avg_sq"]),
        }

    def gather(self, name: str, shard: Tensor) -> Tensor:
        return shard

    def shard(self, name: str, full: Tensor) -> Tensor:
        return full.to(self.device)

    def sync_compute_weights(self) -> None:
        set_adam_step(self._optimizer, self.updates)
        self.swap_in(self._views(self._weights))

    @torch.no_grad()
    def swap_in(self, shards: ShardDict) -> None:
        torch._foreach_copy_(list(self._params.values()), [shards[n] for n in self._params])

    def _views(self, flat: Tensor) -> ShardDict:
        parts = torch.split(flat, self._sizes)
        pairs = zip(self._params.items(), parts, strict=True)
        return {name: shard.view(p.shape) for (name, p), shard in pairs}


def trainable_parameters(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The parameters that learn, by name."""
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def frozen_tensors(model: torch.nn.Module) -> ShardDict:
    """What the model holds beside its trained parameters, in float32 on the CPU."""
    names = {name for name, _ in trainable_parameters(model)}
    state = model.state_dict()
    return {n: t.detach().cpu().float().clone() for n, t in state.items() if n not in names}


def weight_norm(engine: Engine) -> float:
    """Norm of all trained weights, over all ranks."""
    shards = list(engine.shards()["model"].values())
    norm = global_norm(shards)
    if any(isinstance(shard, DTensor) for shard in shards):
        return norm
    split = sum(s.numel() for s in shards) < sum(
        p.numel() for _, p in trainable_parameters(engine.module)
    )
    return float(all_reduce_sum(torch.tensor(norm).double().square()).sqrt()) if split else norm


def global_norm(tensors: Sequence[Tensor]) -> float:
    """Norm of these together; of DTensors over all their ranks, each of which must call."""
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors))))
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def make_adamw(
    params: list[Tensor], settings: Optimizer, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW over these tensors, fused where the device has it."""
    return torch.optim.AdamW(params, **adam_kwargs(settings), fused=device.type == "cuda")


def adam_kwargs(settings: Optimizer) -> dict[str, Any]:
    """As every Adam here takes them; the rate is set at each step."""
    return {
        "lr": 0.0,
        "betas": settings.betas,
        "eps": settings.eps,
        "weight_decay": settings.weight_decay,
    }


def initial_adam_state(parameter: Tensor, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Adam's state before its first step; all but torch's own count steps in Python."""
    counts = torch.zeros((), dtype=torch.float32, device=parameter.device)
    return {
        "step": counts if isinstance(optimizer, torch.optim.AdamW) else 0,
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }


def set_adam_step(optimizer: torch.optim.Optimizer, updates: int) -> None:
    """Tell Adam how many steps it has taken."""
    for state in optimizer.state.values():
        counted = state["step"]
        state["step"] = torch.full_like(counted, updates) if torch.is_tensor(counted) else updates


def optimizer_step(
    optimizer: torch.optim.Optimizer, params: list[Tensor], grads: list[Tensor] | None, lr: float
) -> None:
    """One step at this rate; `grads` are lent to the parameters for as long as it takes."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    for parameter, grad in zip(params, grads or (), strict=bool(grads)):
        parameter.grad = grad
    optimizer.step()
    for parameter, _ in zip(params, grads or (), strict=bool(grads)):
        parameter.grad = None


def clip_factor(norm: float, most: float) -> float:
    """What to multiply gradients of this norm with so that it is at most `most` (0: no limit)."""
    return min(1.0, most / (norm + 1e-6)) if most > 0 else 1.0
