"""A step is skipped if its loss or its gradient norm is far above the running mean."""

from __future__ import annotations

from finetune.config import LossSpikes
from finetune.training.loss_spikes import SpikeDetector


def test_a_spike_of_the_loss_or_of_the_norm_is_not_taken() -> None:
    detector = SpikeDetector(LossSpikes(threshold=5.0, warmup_steps=2))
    for _ in range(2):
        assert detector.allows(100.0, 100.0)  # in the warm-up
        detector.record(1.0, 2.0, taken=True)
    assert detector.allows(5.0, 10.0)
    assert not detector.allows(5.1, 2.0)
    assert not detector.allows(1.0, 10.1)
    assert not detector.allows(float("nan"), 2.0)
