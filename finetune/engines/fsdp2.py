"""PyTorch's FSDP2: weights, gradients and optimizer state sharded over the ranks."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor

from finetune.config import Recipe
from finetune.engines.adam import (
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
    global_norm,
    trainable_parameters,
)
from finetune.engines.distributed import rank_and_world_size
from finetune.engines.ema import EMA
from finetune.errors import EngineError
from finetune.models.adapters import has_adapter
from finetune.tensors import DTYPES

try:
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
except ImportError:  # torch before 2.6
    from torch.distributed._composable.fsdp import (  # type: ignore[attr-defined]
        MixedPrecisionPolicy,
        fully_shard,
    )


def hybrid_mesh(world_size: int, device: torch.device) -> DeviceMesh:
    """Return the mesh of nodes times their ranks: sharded within a node, replicated over nodes.

    Raise EngineError if the launcher does not say how many ranks a node has.
    """
    of_node = int(os.environ.get("LOCAL_WORLD_SIZE", "1" if world_size == 1 else "0"))
    if not of_node or world_size % of_node:
        raise EngineError(
            f"strategy 'hsdp' shards within a node, and {world_size} ranks are not a multiple of "
            f"LOCAL_WORLD_SIZE ({of_node or 'not set'}): start as many ranks on every node, by "
            "torchrun, or set strategy = 'fsdp2'"
        )
    shape = world_size // of_node, of_node
    return init_device_mesh(device.type, shape, mesh_dim_names=("replicate", "shard"))


def unsharded_parameters(model: torch.nn.Module, dtype: torch.dtype) -> set[nn.Parameter] | None:
    """Return frozen parameters of another precision, which FSDP2 would cast: each rank keeps them.

    Those are times and norms, some MB. None where torch's FSDP2 cannot leave parameters out (before
    2.7): there it casts none, and an adapter is computed in float32.
    """
    kept = {p for p in model.parameters() if not p.requires_grad and p.dtype != dtype}
    known = "ignored_params" in inspect.signature(fully_shard).parameters
    return kept if known or not kept else None


class FullySharded:
    """The engine of FSDP2: each rank keeps a shard of every parameter; blocks gather on use.

    With strategy "hsdp" the shards of a node are the whole, and the same on every node.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        blocks: Sequence[torch.nn.Module],
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        self.rank, self.world_size = rank_and_world_size()
        self.device, self.settings, self.updates = device, recipe.optimizer, 0
        self.loss_scale, self.frozen = LossScale(), frozen_tensors(model)
        self.module = model.to(device)
        adapted, dtype = has_adapter(model), DTYPES[recipe.precision]
        whole = unsharded_parameters(self.module, dtype) if adapted else set()
        if adapted:  # a frozen base is computed in the precision that it is kept in
            for _, parameter in trainable_parameters(self.module):
                parameter.data = parameter.data.float()
        else:
            self.module.float()
        policy = MixedPrecisionPolicy(
            param_dtype=None if whole is None else dtype,
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,
        )
        mesh = hybrid_mesh(self.world_size, device) if recipe.strategy == "hsdp" else None
        options: dict[str, Any] = {"mesh": mesh, "mp_policy": policy}
        options |= {"ignored_params": whole} if whole else {}
        for block in blocks:
            fully_shard(block, **options)
        fully_shard(self.module, **options)
        self._params = dict(trainable_parameters(self.module))
        self._optimizer = make_adamw(list(self._params.values()), recipe.optimizer, device)
        self.ema = EMA(self._params, recipe.optimizer)
        self._saved_weights: ShardDict | None = None

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, lr: float, allow: AllowStep) -> StepResult:
        reached = {name: p for name, p in self._params.items() if p.grad is not None}
        grads = [p.grad for p in reached.values() if p.grad is not None]
        norm = global_norm(grads)
        taken = allow(norm)
        if taken:
            torch._foreach_mul_(grads, clip_factor(norm, self.settings.grad_clip))
            optimizer_step(self._optimizer, list(self._params.values()), None, lr)
            self.updates += 1
            if len(grads) < len(self._params):  # one count for all, as in the other engines
                set_adam_step(self._optimizer, self.updates)
            weights = self.shards()["model"]
            self.ema.update({name: weights[name] for name in reached}, self.updates)
        self._optimizer.zero_grad()
        return StepResult(norm, taken)

    def shards(self) -> dict[str, ShardDict]:
        state = self._optimizer.state
        return {
            "model": {name: p.detach() for name, p in self._params.items()},
            "ema": self.ema.shards,
            "exp_avg": {name: state[p]["exp_avg"] for name, p in self._params.items()},
            "exp_avg_sq": {name: state[p]["exp_avg_sq"] for name, p in self._params.items()},
        }

    def gather(self, name: str, shard: Tensor) -> Tensor:
        full = dequantized(shard)
        assert isinstance(full, DTensor)
        return full.full_tensor()

    def shard(self, name: str, full: Tensor) -> Tensor:
        like = self._params[name]
        assert isinstance(like, DTensor)
        placed = full.to(self.device)
        return distribute_tensor(placed, like.device_mesh, like.placements)

    def sync_compute_weights(self) -> None:
        set_adam_step(self._optimizer, self.updates)
        if self._saved_weights is not None:
            saved, self._saved_weights = self._saved_weights, None
            self._copy_to_params(saved)

    def swap_in(self, shards: ShardDict) -> None:
        """Save the float32 weights, which are the compute weights, and copy in others."""
        if self._saved_weights is None:
            self._saved_weights = {name: p.detach().clone() for name, p in self._params.items()}
        self._copy_to_params(shards)

    @torch.no_grad()
    def _copy_to_params(self, shards: ShardDict) -> None:
        for name, parameter in self._params.items():
            parameter.copy_(shards[name])
