"""PyTorch's FSDP2: weights, gradients and optimizer split over the ranks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from finetune.config import Recipe
from finetune.engines.base import (
    Allow,
    LossScale,
    Shards,
    Step,
    adamw,
    clip_factor,
    fixed_of,
    fresh_state,
    norm_of,
    set_steps,
    trained,
    update,
)
from finetune.engines.distributed import rank_and_world
from finetune.engines.ema import Average
from finetune.models.stdit2.network import STDiT2
from finetune.tensors import DTYPES

try:
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
except ImportError:  # its place before torch 2.6
    from torch.distributed._composable.fsdp import (  # type: ignore[attr-defined]
        MixedPrecisionPolicy,
        fully_shard,
    )


class FullySharded:
    """FSDP2: each rank keeps a part of every parameter; blocks are gathered as they are needed."""

    def __init__(self, model: STDiT2, recipe: Recipe, device: torch.device) -> None:
        self.rank, self.world = rank_and_world()
        self.device, self.settings, self.updates = device, recipe.optimizer, 0
        self.loss_scale, self.fixed = LossScale(), fixed_of(model)
        compute = DTYPES[recipe.precision]
        policy = MixedPrecisionPolicy(
            param_dtype=compute, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
        self.module = model.to(device).float()
        for block in self.module.blocks:
            fully_shard(block, mp_policy=policy)
        fully_shard(self.module, mp_policy=policy)
        self._params = dict(trained(self.module))
        self._optimizer = adamw(list(self._params.values()), recipe.optimizer, device)
        for parameter in self._params.values():
            self._optimizer.state[parameter] = fresh_state(parameter, self._optimizer)
        self.average = Average(self._params, recipe.optimizer.ema)
        self._kept: Shards | None = None

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, lr: float, allow: Allow) -> Step:
        grads = [p.grad for p in self._params.values() if p.grad is not None]
        norm = norm_of(grads)
        taken = allow(norm)
        if taken:
            torch._foreach_mul_(grads, clip_factor(norm, self.settings.grad_clip))
            update(self._optimizer, list(self._params.values()), None, lr)
            self.updates += 1
            self.average.update(self.shards()["model"])
        self._optimizer.zero_grad()
        return Step(norm, taken)

    def shards(self) -> dict[str, Shards]:
        state = self._optimizer.state
        return {
            "model": {name: p.detach() for name, p in self._params.items()},
            "ema": self.average.shards,
            "exp_avg": {name: state[p]["exp_avg"] for name, p in self._params.items()},
            "exp_avg_sq": {name: state[p]["exp_avg_sq"] for name, p in self._params.items()},
        }

    def whole(self, name: str, shard: Tensor) -> Tensor:
        assert isinstance(shard, DTensor)
        return shard.full_tensor()

    def part(self, name: str, full: Tensor) -> Tensor:
        like = self._params[name]
        assert isinstance(like, DTensor)
        placed = full.to(self.device)
        return distribute_tensor(placed, like.device_mesh, like.placements)

    def refresh(self) -> None:
        set_steps(self._optimizer, self.updates)
        if self._kept is not None:
            kept, self._kept = self._kept, None
            self._put(kept)

    def show(self, shards: Shards) -> None:
        """The float32 weights are the ones that compute: they are set aside meanwhile."""
        if self._kept is None:
            self._kept = {name: p.detach().clone() for name, p in self._params.items()}
        self._put(shards)

    @torch.no_grad()
    def _put(self, shards: Shards) -> None:
        for name, parameter in self._params.items():
            parameter.copy_(shards[name])
