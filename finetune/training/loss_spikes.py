"""Skip steps of NaN, infinity or a spike in loss or gradient norm; stop after too many."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from finetune.config import LossSpikes
from finetune.errors import TrainingStopped

RUNNING_MEAN_DECAY = 0.98  # per step


@dataclass
class SpikeDetector:
    """Running means of loss and gradient norm, and counts of skipped steps.

    The names of its fields are those in a checkpoint's manifest.
    """

    settings: LossSpikes
    steps: int = 0  # taken
    loss: float = 0.0
    norm: float = 0.0
    skipped: int = 0
    in_a_row: int = 0

    def allows(self, loss: float, norm: float) -> bool:
        """Tell if a step with this loss and gradient norm may be taken."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return False
        if self.steps < self.settings.warmup_steps or not self.settings.threshold:
            return True
        threshold = self.settings.threshold
        return loss <= threshold * self.loss and norm <= threshold * self.norm

    def record(self, loss: float, norm: float, *, taken: bool) -> None:
        """Update means and counts; raise TrainingStopped after too many skips in a row."""
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
                f"{norm:.4g}; usual {self.loss:.4g}, {self.norm:.4g}): {_remedy(loss, norm)}"
            )

    def state(self) -> dict[str, float]:
        """Return the state for a checkpoint."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k != "settings"}

    def restore(self, state: Mapping[str, float]) -> None:
        """Set what `state` returned."""
        for name, value in state.items():
            setattr(self, name, value)


def _remedy(loss: float, norm: float) -> str:
    if math.isnan(loss) and norm == 0:
        return "none of their samples could be read, for the reasons in the log"
    return "lower schedule.peak, or raise loss_spikes.threshold if the spikes are harmless"
