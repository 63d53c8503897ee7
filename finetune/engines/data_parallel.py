"""One device, or DDP: every rank has all weights, and ranks average their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from finetune.config import Recipe
from finetune.engines.adam import (
    ADAMW_8BIT,
    clip_factor,
    make_adamw,
    optimizer_step,
    set_adam_step,
)
from finetune.engines.adamw_8bit import dequantized
from finetune.engines.base import (
    AllowStep,
    LossScale,
    ShardDict,
    StepResult,
    frozen_tensors,
    trainable_parameters,
)
from finetune.engines.distributed import rank_and_world_size
from finetune.engines.ema import EMA, decay_at
from finetune.kernels import adamw as adamw_kernel
from finetune.kernels import kernels_available
from finetune.kernels.accumulate import GradientAccumulator
from finetune.tensors import DTYPES, cast_module


class DataParallel:
    """The engine of one device and of DDP.

    Gradients, float32 weights and Adam's moments are one flat buffer each: one all-reduce, one norm
    and one fused update per step. The shard of a parameter is a view into them. Moments of 8 bits
    are a tensor for each parameter.
    """

    def __init__(self, model: torch.nn.Module, recipe: Recipe, device: torch.device) -> None:
        self.rank, self.world_size = rank_and_world_size()
        self.device, self.settings, self.updates = device, recipe.optimizer, 0
        self.loss_scale, self.frozen = LossScale(), frozen_tensors(model)
        full_precision = (p.detach().flatten() for _, p in trainable_parameters(model))
        self._weights = torch.cat([p.to(device, torch.float32) for p in full_precision])
        self.module = cast_module(model.to(device), DTYPES[recipe.precision])
        self._params = dict(trainable_parameters(self.module))
        self._sizes = [p.numel() for p in self._params.values()]
        self._grads = torch.zeros_like(self._weights)
        self._accumulator = GradientAccumulator(self._grads, self._sizes)
        self._reached = set[str]()  # parameters with a gradient in this step
        if self.world_size > 1:
            dist.broadcast(self._weights, src=0)
        self._masters = self._views(self._weights)
        self._is_8bit = recipe.optimizer.kind == ADAMW_8BIT
        optimized = list(self._masters.values()) if self._is_8bit else [self._weights]
        self._optimizer = make_adamw(optimized, recipe.optimizer, device)
        self.ema = EMA(self._masters, recipe.optimizer)
        fused = recipe.kernels and self.settings.ema and not self._is_8bit
        self._fused = self._make_fused_buffers() if fused else None
        self.sync_compute_weights()

    def _make_fused_buffers(self) -> adamw_kernel.FlatState | None:
        """Return all state of a step as flat buffers, for the fused kernel; none without a GPU."""
        if not kernels_available(self.device):
            return None
        compute = self._weights.to(next(iter(self._params.values())).dtype, copy=True)
        views = self._views(compute).values()
        for parameter, view in zip(self._params.values(), views, strict=True):
            parameter.data = view
        ema = self._weights.clone()
        self.ema.shards = self._views(ema)
        state = self._optimizer.state[self._weights]
        moments = state["exp_avg"], state["exp_avg_sq"]
        return adamw_kernel.FlatState(compute, self._weights, self._grads, *moments, ema)

    def _update(self, lr: float, factor: float) -> None:
        """Update weights, moments and EMA with the gradient times `factor`."""
        self.updates += 1
        if self._fused is None:
            self._grads *= factor
            self._optimizer_step(lr)
            self.sync_compute_weights()
            self.ema.update(self._masters, self.updates)
            return
        s = self.settings
        params = adamw_kernel.AdamWParams(
            lr=lr,
            step=self.updates,
            betas=s.betas,
            eps=s.eps,
            weight_decay=s.weight_decay,
            ema_decay=decay_at(s, self.updates),
        )
        adamw_kernel.adamw_step(self._fused, params, torch.tensor(factor, device=self.device))

    def _optimizer_step(self, lr: float) -> None:
        if not self._is_8bit:
            optimizer_step(self._optimizer, [self._weights], [self._grads], lr)
            return
        grads = self._views(self._grads)
        reached = [name for name in self._params if name in self._reached]
        masters = [self._masters[name] for name in reached]
        optimizer_step(self._optimizer, masters, [grads[name] for name in reached], lr)

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        self._accumulator.add([parameter.grad for parameter in self._params.values()])
        for name, parameter in self._params.items():
            if parameter.grad is not None:
                self._reached.add(name)
                parameter.grad = None

    def step(self, lr: float, allow: AllowStep) -> StepResult:
        if self.world_size > 1:
            dist.all_reduce(self._grads)
            self._grads /= self.world_size
        norm = float(self._grads.norm())
        taken = allow(norm)
        if taken:
            with self._keep_unreached():
                self._update(lr, clip_factor(norm, self.settings.grad_clip))
        self._grads.zero_()
        self._reached.clear()
        return StepResult(norm, taken)

    @contextmanager
    def _keep_unreached(self) -> Iterator[None]:
        """Keep weights and moments that no gradient of the step reached, as of a resting expert.

        Moments of 8 bits are kept by their optimizer.
        """
        names = [name for name in self._params if name not in self._reached]
        states = self.shards() if names else {}
        kinds = ("model", "ema") if self._is_8bit else tuple(states)
        views = [states[kind][name] for kind in kinds if states.get(kind) for name in names]
        kept = [view.clone() for view in views]
        yield
        if kept:
            torch._foreach_copy_(views, kept)
            self.swap_in(self._masters)

    def shards(self) -> dict[str, ShardDict]:
        moments = {kind: self._moments(kind) for kind in ("exp_avg", "exp_avg_sq")}
        return {"model": self._masters, "ema": self.ema.shards, **moments}

    def _moments(self, kind: str) -> ShardDict:
        state = self._optimizer.state
        if self._is_8bit:
            return {name: state[master][kind] for name, master in self._masters.items()}
        return self._views(state[self._weights][kind])

    def gather(self, name: str, shard: Tensor) -> Tensor:
        return dequantized(shard)

    def shard(self, name: str, full: Tensor) -> Tensor:
        return full.to(self.device)

    def sync_compute_weights(self) -> None:
        set_adam_step(self._optimizer, self.updates)
        self.swap_in(self._masters)

    @torch.no_grad()
    def swap_in(self, shards: ShardDict) -> None:
        torch._foreach_copy_(list(self._params.values()), [shards[n] for n in self._params])

    def _views(self, flat: Tensor) -> ShardDict:
        parts = torch.split(flat, self._sizes)
        pairs = zip(self._params.items(), parts, strict=True)
        return {name: part.view(p.shape) for (name, p), part in pairs}
