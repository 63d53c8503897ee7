"""ColossalAI's Gemini as an engine: weights, gradients and optimizer state sharded in chunks.

Gemini gathers a chunk of weights when an operation uses one of them, and releases it afterwards. It
computes, and sums gradients of micro-batches, in half precision only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from finetune.config import Recipe
from finetune.engines.adam import initial_adam_state, set_adam_step
from finetune.engines.base import (
    AllowStep,
    ShardDict,
    StepResult,
    frozen_tensors,
    trainable_parameters,
)
from finetune.engines.colossalai.zero import BoostFunction, StepInterceptor, find_loss_scale
from finetune.engines.distributed import rank_and_world_size
from finetune.engines.ema import EMA


class ChunkSlice(NamedTuple):
    """The place of a rank's shard of a parameter, if it has one."""

    chunk: Any  # of weights in half precision; `paired_chunk` holds the float32 ones
    span: slice  # of the chunk's payload on this rank
    offset: int  # of the shard within the flat parameter
    key: Any  # of the shard in the optimizer's state; none if this rank has no shard


class ForwardWrapper(torch.nn.Module):
    """A module for Gemini to wrap, which calls the class's forward: the instance's is Gemini's."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any, **kwargs: Any) -> Tensor:
        output: Tensor = type(self.model).forward(self.model, *arguments, **kwargs)
        return output


class Gemini:
    """The engine of Booster with GeminiPlugin; a shard is a flat slice, often empty."""

    def __init__(
        self,
        model: torch.nn.Module,
        base_optimizer: Any,
        boost: BoostFunction,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        self.rank, self.world_size = rank_and_world_size()
        self.device, self.updates, self.module = device, 0, model
        self.frozen = frozen_tensors(model)
        self._params = dict(trainable_parameters(model))
        float32 = {name: p.detach().float().clone() for name, p in self._params.items()}
        boosted, self._optimizer = boost(ForwardWrapper(model), base_optimizer)
        model.forward = lambda *args, **kwargs: boosted(*args, **kwargs).as_subclass(Tensor)
        self._base_optimizer = base_optimizer
        self._interceptor = StepInterceptor(base_optimizer, self._norm)
        self.loss_scale = find_loss_scale(self._optimizer.mix_precision_mixin)
        self._slices = {name: self._find_slice(number) for number, name in enumerate(self._params)}
        for name, master in self._masters().items():
            master.copy_(self.shard(name, float32[name]))
            if (key := self._slices[name].key) is not None:
                base_optimizer.state[key] = initial_adam_state(master, base_optimizer)
        self.ema = EMA(self._masters(), recipe.optimizer)
        self.sync_compute_weights()

    def _find_slice(self, number: int) -> ChunkSlice:
        """Return the slice of the parameter with this number in the optimizer's order."""
        plugin = self._optimizer
        chunk = plugin.chunk_manager.get_chunk(plugin.id_to_real_params[number])
        span, offset, size = plugin.get_offsets(number)
        key = plugin.id_to_fake_params.get(number)
        if key is None:
            return ChunkSlice(chunk, slice(0, 0), 0, None)
        return ChunkSlice(chunk, slice(span, span + size), offset, key)

    def backward(self, loss: Tensor) -> None:
        self._optimizer.backward(loss)

    def step(self, lr: float, allow: AllowStep) -> StepResult:
        result = self._interceptor.step(self._optimizer, lr, allow)
        self._optimizer.chunk_manager.accumulating_grads = False  # not reset after an overflow
        if result.taken:
            self.updates += 1
            self.ema.update(self._masters(), self.updates)
        return result

    def shards(self) -> dict[str, ShardDict]:
        return {
            "model": self._masters(),
            "ema": self.ema.shards,
            "exp_avg": self._moments("exp_avg"),
            "exp_avg_sq": self._moments("exp_avg_sq"),
        }

    def gather(self, name: str, shard: Tensor) -> Tensor:
        like, chunk_slice = self._params[name], self._slices[name]
        if chunk_slice.chunk.keep_gathered:
            return shard.view(like.shape)
        full = shard.new_zeros(like.numel())
        full[chunk_slice.offset : chunk_slice.offset + len(shard)] = shard
        dist.all_reduce(full)  # adds the other ranks' shards to zeros
        return full.view(like.shape)

    def shard(self, name: str, full: Tensor) -> Tensor:
        chunk_slice = self._slices[name]
        end = chunk_slice.offset + chunk_slice.span.stop - chunk_slice.span.start
        return full.flatten()[chunk_slice.offset : end].to(self.device).clone()

    def sync_compute_weights(self) -> None:
        set_adam_step(self._base_optimizer, self.updates)
        self.swap_in(self._masters())

    @torch.no_grad()
    def swap_in(self, shards: ShardDict) -> None:
        for name, chunk_slice in self._slices.items():
            chunk_slice.chunk.payload[chunk_slice.span].copy_(shards[name])

    def _masters(self) -> ShardDict:
        return {n: p.chunk.paired_chunk.payload[p.span] for n, p in self._slices.items()}

    def _moments(self, kind: str) -> ShardDict:
        empty = torch.empty(0, device=self.device)
        state = self._base_optimizer.state
        return {
            name: empty if chunk_slice.key is None else state[chunk_slice.key][kind]
            for name, chunk_slice in self._slices.items()
        }

    def _norm(self) -> float:
        """Return the plugin's norm of this step's gradient, without the loss scale."""
        return float(self._optimizer.get_grad_norm()) / self.loss_scale.value
