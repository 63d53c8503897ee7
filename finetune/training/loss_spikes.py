"""When a step is not taken: NaN, infinity, or a spike; and when that ends the run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from finetune.config import LossSpikes
from finetune.errors import TrainingStopped

RUNNING_MEAN_DECAY = 0.98  # of the running means, a step


@dataclass
class SpikeDetector:
    """Running means of loss and gradient norm, and how many steps were skipped."""

    settings: LossSpikes
    steps: int = 0  # taken
    loss: float = 0.0
    norm: float = 0.0
    skipped: int = 0
    in_a_row: int = 0

    def allows(self, loss: float, norm: float) -> bool:
        """May a step with this loss and gradient norm be taken?"""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return False
        if self.steps < self.settings.warmup_steps or not self.settings.threshold:
            return True
        most = self.settings.threshold
        return loss <= most * self.loss and norm <= most * self.norm

    def record(self, loss: float, norm: float, *, taken: bool) -> None:
        """Learn from a step; raises TrainingStopped after too many skipped in a row."""
        if taken:
            share = max(1 - RUNNING_MEAN_DECAY, 1 / (self.steps + 1))
            self.loss += share * (loss - self.loss)
            self.norm += share * (norm - self.norm)
            self.steps += 1
            self.in_a_row = 0
            return
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= self.settings.max_consecutive_skips:
            raise TrainingStopped(
                f"{self.in_a_row} steps in a row were skipped (loss {loss:.4g}, gradient norm "
                f"{norm:.4g}; usual {self.loss:.4g}, {self.norm:.4g}): {remedy(loss, norm)}"
            )

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k != "settings"}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from `state`."""
        for name, value in state.items():
            setattr(self, name, value)


def remedy(loss: float, norm: float) -> str:
    """What to do about steps like this one."""
    if math.isnan(loss) and norm == 0:
        return "none of their samples could be read, for the reasons said above"
    return "lower schedule.peak, or raise loss_spikes.threshold if these are no accidents"
