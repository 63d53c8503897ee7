"""ColossalAI's ZeRO-1 and ZeRO-2 as an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from finetune.config import Recipe
from finetune.engines.adam import initial_adam_state, set_adam_step
from finetune.engines.base import (
    AllowStep,
    LossScale,
    ShardDict,
    StepResult,
    frozen_tensors,
    trainable_parameters,
)
from finetune.engines.distributed import rank_and_world_size
from finetune.engines.ema import EMA

BoostFunction = Callable[[torch.nn.Module, Any], tuple[Any, Any]]
"""Wraps a module and its optimizer."""


class StepInterceptor:
    """Replaces `step` of the optimizer inside a plugin, to ask before each step is taken."""

    def __init__(self, optimizer: Any, norm: Callable[[], float]) -> None:
        self._optimizer, self._norm = optimizer, norm
        self._original_step, optimizer.step = optimizer.step, self._intercepted_step
        self._result = StepResult(float("inf"), taken=False)

    def step(self, plugin: Any, lr: float, allow: AllowStep) -> StepResult:
        """Step the plugin at this learning rate; its loss scaler skips the step on an overflow."""
        self._result, self._allow = StepResult(float("inf"), taken=False), allow
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        plugin.step()
        return self._result

    def _intercepted_step(self, *arguments: Any, **options: Any) -> None:
        norm = self._norm()
        self._result = StepResult(norm, taken=self._allow(norm))
        if self._result.taken:
            self._original_step(*arguments, **options)


def find_loss_scale(mixin: Any) -> LossScale:
    """Return the loss scale of a plugin's mixed-precision part, which only float16 has."""
    return LossScale(getattr(mixin, "grad_scaler", None))


class Zero:
    """The engine of Booster with LowLevelZeroPlugin: float32 weights and moments sharded by rank.

    A shard is a flat slice of the padded parameter, of equal size on every rank. Micro-batches are
    reduced one by one and summed in float32 (the plugin sums in the weights' precision).
    """

    def __init__(
        self,
        model: torch.nn.Module,
        base_optimizer: Any,
        boost: BoostFunction,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        self.rank, self.world_size = rank_and_world_size()
        self.device, self.updates = device, 0
        self.frozen = frozen_tensors(model)
        self._params = dict(trainable_parameters(model))
        float32 = {name: p.detach().float().clone() for name, p in self._params.items()}
        boosted, self._optimizer = boost(model, base_optimizer)
        self.module, self._base_optimizer = boosted.module, base_optimizer
        self._interceptor = StepInterceptor(base_optimizer, self._norm)
        self.loss_scale = find_loss_scale(self._optimizer.mixed_precision_mixin)
        for name, master in self._masters().items():
            master.copy_(self.shard(name, float32[name]))  # the plugin's are rounded
            base_optimizer.state[master] = initial_adam_state(master, base_optimizer)
        self.ema = EMA(self._masters(), recipe.optimizer)
        self.sync_compute_weights()

    def backward(self, loss: Tensor) -> None:
        self._optimizer.backward(loss)
        for store in self._optimizer.pg_to_grad_store.values():
            for grads in store._grads_of_params.values():
                for slices in grads.values():
                    slices[:] = [
                        grad.float() for grad in slices
                    ]  # the next micro-batch adds to these

    def step(self, lr: float, allow: AllowStep) -> StepResult:
        result = self._interceptor.step(self._optimizer, lr, allow)
        if result.taken:
            self.updates += 1
            self.ema.update(self._masters(), self.updates)
        self._optimizer.zero_grad()
        return result

    def shards(self) -> dict[str, ShardDict]:
        masters, state = self._masters(), self._base_optimizer.state
        return {
            "model": masters,
            "ema": self.ema.shards,
            "exp_avg": {name: state[m]["exp_avg"] for name, m in masters.items()},
            "exp_avg_sq": {name: state[m]["exp_avg_sq"] for name, m in masters.items()},
        }

    def gather(self, name: str, shard: Tensor) -> Tensor:
        like = self._params[name]
        full = shard.new_empty(shard.numel() * self.world_size)
        dist.all_gather_into_tensor(full, shard.contiguous())
        return full[: like.numel()].view(like.shape)

    def shard(self, name: str, full: Tensor) -> Tensor:
        flat = full.flatten()
        padded = torch.nn.functional.pad(flat, (0, -len(flat) % self.world_size))
        return padded.chunk(self.world_size)[self.rank].to(self.device).clone()

    def sync_compute_weights(self) -> None:
        set_adam_step(self._base_optimizer, self.updates)
        self.swap_in(self._masters())

    @torch.no_grad()
    def swap_in(self, shards: ShardDict) -> None:
        for name, parameter in self._params.items():
            parameter.copy_(self.gather(name, shards[name]))

    def _masters(self) -> ShardDict:
        masters = self._optimizer.working_to_master_param
        return {name: masters[id(parameter)] for name, parameter in self._params.items()}

    def _norm(self) -> float:
        """Return the plugin's norm of this step's gradient, without the loss scale."""
        return float(self._optimizer.get_grad_norm()) / self.loss_scale.value
