"""ColossalAI's ZeRO-1 and ZeRO-2 behind the engine's verbs; `finetune.engines.factory` imports it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from finetune.config import Recipe
from finetune.engines.base import (
    AllowStep,
    LossScale,
    ShardDict,
    StepResult,
    frozen_tensors,
    initial_adam_state,
    set_adam_step,
    trainable_parameters,
)
from finetune.engines.distributed import rank_and_world_size
from finetune.engines.ema import EMA
from finetune.models.stdit2.network import STDiT2

BoostFunction = Callable[
    [torch.nn.Module, Any], tuple[Any, Any]
]  # a module and its optimizer, wrapped


class StepInterceptor:
    """Stands between a plugin and the optimizer inside: asks before each step that is taken."""

    def __init__(self, optimizer: Any, norm: Callable[[], float]) -> None:
        self._optimizer, self._norm = optimizer, norm
        self._original_step, optimizer.step = optimizer.step, self._intercepted_step
        self._found = StepResult(float("inf"), taken=False)

    def step(self, plugin: Any, lr: float, allow: AllowStep) -> StepResult:
        """Have the plugin step at this rate; a loss scaler that finds an overflow takes none."""
        self._found, self._allow = StepResult(float("inf"), taken=False), allow
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        plugin.step()
        return self._found

    def _intercepted_step(self, *arguments: Any, **options: Any) -> None:
        norm = self._norm()
        self._found = StepResult(norm, taken=self._allow(norm))
        if self._found.taken:
            self._original_step(*arguments, **options)


def find_loss_scale(mixin: Any) -> LossScale:
    """What a plugin multiplies the loss with: float16 has a scale, other precisions have none."""
    return LossScale(getattr(mixin, "grad_scaler", None))


class Zero:
    """Booster with LowLevelZeroPlugin: float32 weights and moments split by rank.

    A shard is a flat, equal slice of the padded parameter. Micro-batches are reduced one by one;
    their sum is kept in float32 (the plugin's own would be in the weights' precision).
    """

    def __init__(
        self,
        model: STDiT2,
        base_optimizer: Any,
        boost: BoostFunction,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        self.rank, self.world_size = rank_and_world_size()
        self.device, self.updates = device, 0
        self.frozen = frozen_tensors(model)
        self._params = dict(trainable_parameters(model))
        exact = {name: p.detach().float().clone() for name, p in self._params.items()}
        boosted, self._optimizer = boost(model, base_optimizer)
        self.module, self._base_optimizer, self._interceptor = (
            boosted.module,
            base_optimizer,
            StepInterceptor(base_optimizer, self._norm),
        )
        self.loss_scale = find_loss_scale(self._optimizer.mixed_precision_mixin)
        for name, master in self._masters().items():
            master.copy_(self.shard(name, exact[name]))  # the plugin's are of rounded weights
            base_optimizer.state[master] = initial_adam_state(master, base_optimizer)
        self.ema = EMA(self._masters(), recipe.optimizer.ema)
        self.sync_compute_weights()

    def backward(self, loss: Tensor) -> None:
        self._optimizer.backward(loss)
        for store in self._optimizer.pg_to_grad_store.values():
            for grads in store._grads_of_params.values():
                for slices in grads.values():
                    slices[:] = [grad.float() for grad in slices]  # later ones add to these

    def step(self, lr: float, allow: AllowStep) -> StepResult:
        found = self._interceptor.step(self._optimizer, lr, allow)
        if found.taken:
            self.updates += 1
            self.ema.update(self._masters())
        self._optimizer.zero_grad()
        return found

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
        """Of this step's gradient, as the plugin found it, its loss scale taken out."""
        return float(self._optimizer.get_grad_norm()) / self.loss_scale.value
