"""ColossalAI's Gemini behind the engine's verbs: weights, gradients and optimizer split in chunks.

Gemini gathers a chunk of weights when an operation asks for one of them, and lets it go again. It
works in half precision alone, and so do its sums over micro-batches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from finetune.config import Recipe
from finetune.engines.base import Allow, Shards, Step, fixed_of, fresh_state, set_steps, trained
from finetune.engines.colossalai.zero import Boost, Gate, loss_scale_of
from finetune.engines.distributed import rank_and_world
from finetune.engines.ema import Average
from finetune.models.stdit2.network import STDiT2


class Place(NamedTuple):
    """Where a rank keeps its part of a parameter, if it has one."""

    chunk: Any  # of weights in half precision; `paired_chunk` holds the float32 ones
    span: slice  # of the chunk's payload on this rank
    begin: int  # of the part within the flat parameter
    key: Any  # what the optimizer calls the part; none if this rank has no part of it


class Inner(torch.nn.Module):
    """What Gemini wraps: the network's own forward, since the network's name leads to Gemini's."""

    def __init__(self, model: STDiT2) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any, **told: Any) -> Tensor:
        return STDiT2.forward(self.model, *arguments, **told)


class Gemini:
    """Booster with GeminiPlugin. A shard is this rank's flat slice of a parameter, often empty."""

    def __init__(
        self, model: STDiT2, inner: Any, boost: Boost, recipe: Recipe, device: torch.device
    ) -> None:
        self.rank, self.world = rank_and_world()
        self.device, self.updates, self.module = device, 0, model
        self.fixed = fixed_of(model)
        self._params = dict(trained(model))
        exact = {name: p.detach().float().clone() for name, p in self._params.items()}
        boosted, self._optimizer = boost(Inner(model), inner)
        model.forward = lambda *args, **told: boosted(*args, **told).as_subclass(Tensor)  # type: ignore[method-assign]
        self._inner, self._gate = inner, Gate(inner, self._norm)
        self.loss_scale = loss_scale_of(self._optimizer.mix_precision_mixin)
        self._places = {name: self._place(number) for number, name in enumerate(self._params)}
        for name, master in self._masters().items():
            master.copy_(self.part(name, exact[name]))
            if (key := self._places[name].key) is not None:
                inner.state[key] = fresh_state(master, inner)
        self.average = Average(self._masters(), recipe.optimizer.ema)
        self.refresh()

    def _place(self, number: int) -> Place:
        """Of the parameter with this number in the optimizer's order."""
        plugin = self._optimizer
        chunk = plugin.chunk_manager.get_chunk(plugin.id_to_real_params[number])
        span, begin, size = plugin.get_offsets(number)
        key = plugin.id_to_fake_params.get(number)
        if key is None:
            return Place(chunk, slice(0, 0), 0, None)
        return Place(chunk, slice(span, span + size), begin, key)

    def backward(self, loss: Tensor) -> None:
        self._optimizer.backward(loss)

    def step(self, lr: float, allow: Allow) -> Step:
        found = self._gate.step(self._optimizer, lr, allow)
        self._optimizer.chunk_manager.accumulating_grads = False  # it forgets after an overflow
        if found.taken:
            self.updates += 1
            self.average.update(self._masters())
        return found

    def shards(self) -> dict[str, Shards]:
        return {
            "model": self._masters(),
            "ema": self.average.shards,
            "exp_avg": self._moments("exp_avg"),
            "exp_avg_sq": self._moments("exp_avg_sq"),
        }

    def whole(self, name: str, shard: Tensor) -> Tensor:
        like, place = self._params[name], self._places[name]
        if place.chunk.keep_gathered:
            return shard.view(like.shape)
        full = shard.new_zeros(like.numel())
        full[place.begin : place.begin + len(shard)] = shard
        dist.all_reduce(full)  # the other ranks' parts, to zeros
        return full.view(like.shape)

    def part(self, name: str, full: Tensor) -> Tensor:
        place = self._places[name]
        size = place.span.stop - place.span.start
        return full.flatten()[place.begin : place.begin + size].to(self.device).clone()

    def refresh(self) -> None:
        set_steps(self._inner, self.updates)
        self.show(self._masters())

    @torch.no_grad()
    def show(self, shards: Shards) -> None:
        for name, place in self._places.items():
            place.chunk.payload[place.span].copy_(shards[name])

    def _masters(self) -> Shards:
        return {n: p.chunk.paired_chunk.payload[p.span] for n, p in self._places.items()}

    def _moments(self, kind: str) -> Shards:
        nothing = torch.empty(0, device=self.device)
        state = self._inner.state
        return {
            name: nothing if place.key is None else state[place.key][kind]
            for name, place in self._places.items()
        }

    def _norm(self) -> float:
        """Of this step's gradient, as the plugin found it, its loss scale taken out."""
        return float(self._optimizer.get_grad_norm()) / self.loss_scale.value
