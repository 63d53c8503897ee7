"""Metrics of a step, summed over micro-batches and ranks, and its wall time."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from finetune.engines.distributed import all_reduce_sum
from finetune.objectives import Losses

QUARTILES = 4


@dataclass(frozen=True)
class StepMetrics:
    """Metrics of one step over all ranks."""

    clips: int
    loss: float
    parts: Mapping[str, float]  # of the loss, by the objective's names
    loss_by_quartile: tuple[float, ...]  # of the time; NaN for one without a sample
    bad_samples: int
    stop_requested: bool  # on any rank

    def as_dict(self) -> dict[str, float]:
        """Return the losses by their names in the log."""
        quartiles = {
            f"loss/t{number + 1}": loss
            for number, loss in enumerate(self.loss_by_quartile)
            if not math.isnan(loss)
        }
        return {"loss": self.loss, **self.parts, **quartiles}


class MetricAccumulator:
    """Sums on the device; one exchange between ranks at the end of a step.

    max_time: of the objective, whose quarters have a loss each.
    """

    def __init__(self, max_time: float) -> None:
        self._max_time = max_time
        self._names: tuple[str, ...] = ()
        self._sums: list[Tensor] = []

    def add(self, losses: Losses, time: Tensor, weights: Tensor) -> None:
        """Add a micro-batch: losses, times and weights [B]."""
        self._names = tuple(losses.parts)
        first = 2 + len(self._names)
        sums = torch.zeros(first + 2 * QUARTILES, dtype=torch.float64, device=time.device)
        loss = torch.where(weights > 0, losses.loss.detach(), 0)
        sums[0], sums[1] = weights.sum(), (loss * weights).sum()
        for number, part in enumerate(losses.parts.values()):
            sums[2 + number] = (part.detach() * weights).sum()
        quartile = first + (time * QUARTILES / self._max_time).long()
        sums.index_add_(0, quartile, loss.double() * weights)
        sums.index_add_(0, quartile + QUARTILES, weights.double())
        self._sums.append(sums)

    def all_reduce(
        self, *, bad_samples: int, stop_requested: bool, timer: StepTimer
    ) -> StepMetrics:
        """Return the step's metrics over all ranks; every rank must call."""
        local = torch.stack(self._sums).sum(0).cpu()  # waits for the device
        timer.computed()
        more = torch.tensor([bad_samples, stop_requested], dtype=torch.float64)
        total, loss, *rest = all_reduce_sum(torch.cat([local, more])).tolist()
        parts, rest = rest[: len(self._names)], rest[len(self._names) :]
        clips = max(total, 1)
        quartiles = zip(rest[:QUARTILES], rest[QUARTILES : 2 * QUARTILES], strict=True)
        return StepMetrics(
            clips=int(total),
            loss=loss / clips if total else float("nan"),
            parts={name: value / clips for name, value in zip(self._names, parts, strict=True)},
            loss_by_quartile=tuple(s / n if n else float("nan") for s, n in quartiles),
            bad_samples=int(rest[-2]),
            stop_requested=rest[-1] > 0,
        )


class StepTimer:
    """Wall time of steps, and the share of it spent waiting for data."""

    def __init__(self, hours: float = 0.0) -> None:
        self.hours = hours  # GPU-hours, those of earlier runs of this stage included
        self._step_end = self._data_ready = self._compute_begin = clock.perf_counter()
        self._own, self._own_steps = 0.0, 0

    def data_ready(self) -> None:
        """Note that the step's data has arrived."""
        self._data_ready = clock.perf_counter()

    def compute_begins(self) -> None:
        """Note that every rank has its data: from here on this rank's own time counts again."""
        self._compute_begin = clock.perf_counter()

    def computed(self) -> None:
        """Note that this rank has computed its part, before it waits for the others."""
        waited = self._data_ready - self._step_end
        self._own += waited + clock.perf_counter() - self._compute_begin
        self._own_steps += 1

    def own_seconds(self) -> float:
        """Return the mean seconds of this rank's own part of the steps since the last call."""
        mean, self._own, self._own_steps = self._own / max(self._own_steps, 1), 0.0, 0
        return mean

    def finish_step(self, clips: int, world_size: int) -> dict[str, float]:
        """Return the times of the step that ends now."""
        now = clock.perf_counter()
        seconds, waited = now - self._step_end, self._data_ready - self._step_end
        self._step_end = now
        self.hours += world_size * seconds / 3600
        return {
            "step_s": seconds,
            "clips_s": clips / seconds,
            "data_wait": waited / seconds,
            "gpu_hours": self.hours,
        }
