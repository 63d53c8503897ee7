"""ColossalAI's ZeRO-1 and ZeRO-2 behind the engine's verbs; `finetune.engines.factory` imports it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from finetune.config import Recipe
from finetune.engines.base import (
    Allow,
    LossScale,
    Shards,
    Step,
    fixed_of,
    fresh_state,
    set_steps,
    trained,
)
from finetune.engines.distributed import rank_and_world
from finetune.engines.ema import Average
from finetune.models.stdit2.network import STDiT2

Boost = Callable[[torch.nn.Module, Any], tuple[Any, Any]]  # a module and its optimizer, wrapped


class Gate:
    """Stands between a plugin and the optimizer inside: asks before each step that is taken."""

    def __init__(self, optimizer: Any, norm: Callable[[], float]) -> None:
        self._optimizer, self._norm = optimizer, norm
        self._take, optimizer.step = optimizer.step, self._asked
        self._found = Step(float("inf"), taken=False)

    def step(self, plugin: Any, lr: float, allow: Allow) -> Step:
        """Have the plugin step at this rate; a loss scaler that finds an overflow takes none."""
        self._found, self._allow = Step(float("inf"), taken=False), allow
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        plugin.step()
        return self._found

    def _asked(self, *arguments: Any, **options: Any) -> None:
        norm = self._norm()
        self._found = Step(norm, taken=self._allow(norm))
        if self._found.taken:
            self._take(*arguments, **options)


def loss_scale_of(mixin: Any) -> LossScale:
    """What a plugin multiplies the loss with: float16 has a scale, other precisions have none."""
    return LossScale(getattr(mixin, "grad_scaler", None))


class Zero:
    """Booster with LowLevelZeroPlugin: float32 weights and moments split by rank.

    A shard is a flat, equal slice of the padded parameter. Micro-batches are reduced one by one;
    their sum is kept in float32 (the plugin's own would be in the weights' precision).
    """

    def __init__(
        self, model: STDiT2, inner: Any, boost: Boost, recipe: Recipe, device: torch.device
    ) -> None:
        self.rank, self.world = rank_and_world()
        self.device, self.updates = device, 0
        self.fixed = fixed_of(model)
        self._params = dict(trained(model))
        exact = {name: p.detach().float().clone() for name, p in self._params.items()}
        boosted, self._optimizer = boost(model, inner)
        self.module, self._inner, self._gate = boosted.module, inner, Gate(inner, self._norm)
        self.loss_scale = loss_scale_of(self._optimizer.mixed_precision_mixin)
        for name, master in self._masters().items():
            master.copy_(self.part(name, exact[name]))  # the plugin's are of rounded weights
            inner.state[master] = fresh_state(master, inner)
        self.average = Average(self._masters(), recipe.optimizer.ema)
        self.refresh()

    def backward(self, loss: Tensor) -> None:
        self._optimizer.backward(loss)
        for store in self._optimizer.pg_to_grad_store.values():
            for grads in store._grads_of_params.values():
                for slices in grads.values():
                    slices[:] = [grad.float() for grad in slices]  # later ones add to these

    def step(self, lr: float, allow: Allow) -> Step:
        found = self._gate.step(self._optimizer, lr, allow)
        if found.taken:
            self.updates += 1
            self.average.update(self._masters())
        self._optimizer.zero_grad()
        return found

    def shards(self) -> dict[str, Shards]:
        masters, state = self._masters(), self._inner.state
        return {
            "model": masters,
            "ema": self.average.shards,
            "exp_avg": {name: state[m]["exp_avg"] for name, m in masters.items()},
            "exp_avg_sq": {name: state[m]["exp_avg_sq"] for name, m in masters.items()},
        }

    def whole(self, name: str, shard: Tensor) -> Tensor:
        like = self._params[name]
        full = shard.new_empty(shard.numel() * self.world)
        dist.all_gather_into_tensor(full, shard.contiguous())
        return full[: like.numel()].view(like.shape)

    def part(self, name: str, full: Tensor) -> Tensor:
        flat = full.flatten()
        padded = torch.nn.functional.pad(flat, (0, -len(flat) % self.world))
        return padded.chunk(self.world)[self.rank].to(self.device).clone()

    def refresh(self) -> None:
        set_steps(self._inner, self.updates)
        self.show(self._masters())

    @torch.no_grad()
    def show(self, shards: Shards) -> None:
        for name, parameter in self._params.items():
            parameter.copy_(self.whole(name, shards[name]))

    def _masters(self) -> Shards:
        masters = self._optimizer.working_to_master_param
        return {name: masters[id(parameter)] for name, parameter in self._params.items()}

    def _norm(self) -> float:
        """Of this step's gradient, as the plugin found it, its loss scale taken out."""
        return float(self._optimizer.get_grad_norm()) / self.loss_scale.value
