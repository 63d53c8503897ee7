"""Metrics of a step, summed over micro-batches and ranks, and its wall time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from finetune.engines.distributed import all_reduce_sum
from finetune.objectives import Losses
from finetune.objectives.iddpm import NUM_TIMESTEPS

QUARTILES = 4


@dataclass(frozen=True)
class StepMetrics:
    """Metrics of one step over all ranks."""

    clips: int
    loss: float
    mse: float
    vb: float
    loss_by_quartile: tuple[float, ...]  # of the timestep; NaN for one without a sample
    bad_samples: int
    stop_requested: bool  # on any rank

    def as_dict(self) -> dict[str, float]:
        """Return the losses by their names in the log."""
        quartiles = {
            f"loss/t{number + 1}": loss
            for number, loss in enumerate(self.loss_by_quartile)
            if not math.isnan(loss)
        }
        return {"loss": self.loss, "mse": self.mse, "vb": self.vb, **quartiles}


class MetricAccumulator:
    """Sums on the device; one exchange between ranks at the end of a step."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []

    def add(self, losses: Losses, t: Tensor, weights: Tensor) -> None:
        """Add a micro-batch: losses and weights [B], timesteps t [B]."""
        part = torch.zeros(4 + 2 * QUARTILES, dtype=torch.float64, device=t.device)
        loss = torch.where(weights > 0, losses.loss.detach(), 0)
        part[0], part[1] = weights.sum(), (loss * weights).sum()
        part[2], part[3] = (losses.mse.detach() * weights).sum(), (losses.vb * weights).sum()
        quartile = 4 + t * QUARTILES // NUM_TIMESTEPS
        part.index_add_(0, quartile, loss.double() * weights)
        part.index_add_(0, quartile + QUARTILES, weights.double())
        self._parts.append(part)

    def all_reduce(self, *, bad_samples: int, stop_requested: bool) -> StepMetrics:
        """Return the step's metrics over all ranks; every rank must call."""
        local = torch.stack(self._parts).sum(0).cpu()
        sums = all_reduce_sum(
            torch.cat([local, torch.tensor([bad_samples, stop_requested], dtype=torch.float64)])
        ).tolist()
        clips = max(sums[0], 1)
        counts = sums[4 + QUARTILES : 4 + 2 * QUARTILES]
        quartiles = zip(sums[4 : 4 + QUARTILES], counts, strict=True)
        return StepMetrics(
            clips=int(sums[0]),
            loss=sums[1] / clips if sums[0] else float("nan"),
            mse=sums[2] / clips,
            vb=sums[3] / clips,
            loss_by_quartile=tuple(s / n if n else float("nan") for s, n in quartiles),
            bad_samples=int(sums[-2]),
            stop_requested=sums[-1] > 0,
        )


class StepTimer:
    """Wall time of steps, and the share of it spent waiting for data."""

    def __init__(self, hours: float = 0.0) -> None:
        self.hours = hours  # GPU-hours, those of earlier runs of this stage included
        self._step_end = self._data_ready = time.perf_counter()

    def data_ready(self) -> None:
        """Note that the step's data has arrived."""
        self._data_ready = time.perf_counter()

    def finish_step(self, clips: int, world_size: int) -> dict[str, float]:
        """Return the times of the step that ends now."""
        now = time.perf_counter()
        seconds, waited = now - self._step_end, self._data_ready - self._step_end
        self._step_end = now
        self.hours += world_size * seconds / 3600
        return {
            "step_s": seconds,
            "clips_s": clips / seconds,
            "data_wait": waited / seconds,
            "gpu_hours": self.hours,
        }
