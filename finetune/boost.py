"""Engines by name: PyTorch's, and ColossalAI's ZeRO-1 and ZeRO-2 behind the same verbs.

ColossalAI is imported here alone, and only when a recipe asks for it: it takes seconds.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from finetune.config import Recipe
from finetune.ema import Average
from finetune.engine import (
    Allow,
    Engine,
    FullySharded,
    Replicated,
    Shards,
    Step,
    fixed_of,
    fresh_state,
    rank_and_world,
    set_steps,
    trained,
)
from finetune.errors import EngineError
from finetune.kernels import ops_for
from finetune.models.stdit2 import STDiT2
from finetune.precision import DTYPES

PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def boost(model: STDiT2, recipe: Recipe, device: torch.device) -> Engine:
    """The recipe's engine around a model, its blocks compiled or recomputed as asked."""
    if recipe.kernels:
        model.use(ops_for(device, DTYPES[recipe.precision]))
    if recipe.recompute:
        recompute_blocks(model)
    if recipe.compile:
        model.compile_blocks()
    if recipe.engine == "colossalai":
        return Zero(model, recipe, device)
    if recipe.strategy == "fsdp2":
        return FullySharded(model, recipe, device)
    return Replicated(model, recipe, device)


def recompute_blocks(model: STDiT2) -> None:
    """Keep only each block's input for backward, and run the block again there."""
    for block in model.blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


class Zero:
    """ColossalAI's Booster with LowLevelZeroPlugin: float32 weights and moments split by rank.

    A shard is a flat, equal slice of the padded parameter. Micro-batches are reduced one by one;
    their sum is kept in float32 (the plugin's own would be in the weights' precision).
    """

    def __init__(self, model: STDiT2, recipe: Recipe, device: torch.device) -> None:
        self.rank, self.world = rank_and_world()
        self.device, self.updates = device, 0
        self.fixed = fixed_of(model)
        self._params = dict(trained(model.to(device)))
        exact = {name: p.detach().float().clone() for name, p in self._params.items()}
        self._inner = _optimizer(list(self._params.values()), recipe)
        boosted, self._optimizer, *_ = _booster(recipe, device).boost(model, self._inner)
        self.module = boosted.module
        for name, master in self._masters().items():
            master.copy_(self.part(name, exact[name]))  # the plugin's are of rounded weights
            self._inner.state[master] = fresh_state(master)
        self.average = Average(self._masters(), recipe.optimizer.ema)
        self.refresh()

    def backward(self, loss: Tensor) -> None:
        self._optimizer.backward(loss)
        for store in self._optimizer.pg_to_grad_store.values():
            for grads in store._grads_of_params.values():
                for slices in grads.values():
                    slices[:] = [grad.float() for grad in slices]  # later ones add to these

    def step(self, lr: float, allow: Allow) -> Step:
        for group in self._inner.param_groups:
            group["lr"] = lr
        norm = float("inf")  # stays so if the loss scaler finds an overflow and takes no step

        def gate() -> bool:
            nonlocal norm
            norm = self._norm()
            return allow(norm)

        self._inner.gate, self._inner.taken = gate, False
        self._optimizer.step()
        taken = bool(self._inner.taken)
        if taken:
            self.updates += 1
            self.average.update(self._masters())
        self._optimizer.zero_grad()
        return Step(norm, taken)

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
        mixin = self._optimizer.mixed_precision_mixin
        scale = mixin.get_grad_div_scale() if mixin is not None else 1.0
        return float(self._optimizer.get_grad_norm()) / scale


def _booster(recipe: Recipe, device: torch.device) -> Any:
    """ColossalAI's Booster with the recipe's plugin."""
    try:
        from colossalai.booster import Booster
        from colossalai.booster.plugin import LowLevelZeroPlugin
    except ImportError as error:
        raise EngineError(
            f"engine 'colossalai' cannot be imported ({error}): docs/finetune.md has two ways to "
            "install it; or set engine = 'torch'"
        ) from error
    plugin = LowLevelZeroPlugin(
        stage=1 if recipe.strategy == "zero1" else 2,
        precision=PRECISIONS[recipe.precision],
        initial_scale=2**16,
        max_norm=recipe.optimizer.grad_clip,
        overlap_communication=device.type == "cuda",
    )
    return Booster(plugin=plugin)


def _optimizer(params: list[torch.nn.Parameter], recipe: Recipe) -> Any:
    """AdamW, or ColossalAI's HybridAdam, that asks `gate` before each step it takes."""
    settings = recipe.optimizer
    kind: Any = torch.optim.AdamW
    if settings.kind == "hybrid_adam":
        from colossalai.nn.optimizer import HybridAdam

        kind = HybridAdam

    class Gated(kind):  # type: ignore[misc]
        def step(self, closure: None = None) -> None:
            self.taken = self.gate()
            if self.taken:
                super().step()

    return Gated(
        params,
        lr=0.0,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
    )
