"""Rates at the ends of their ranges; the recipes' own tables are golden tests."""

from __future__ import annotations

import pytest

from finetune.config import Schedule
from finetune.training.lr_schedule import cosine_then_constant, learning_rate, one_cycle


def test_a_cycle_goes_from_start_by_peak_to_final() -> None:
    def rate(step: int) -> float:
        return one_cycle(step, start=1e-7, peak=1e-4, final=1e-5, warmup=10, cooldown=20)

    assert [rate(step) for step in (0, 10, 30, 31, 10**6)] == pytest.approx(
        [1e-7, 1e-4, 1e-5, 1e-5, 1e-5]
    )
    assert all(rate(step) < rate(step + 1) for step in range(10))
    assert all(rate(step) > rate(step + 1) for step in range(10, 30))


def test_no_warm_up_begins_at_the_peak() -> None:
    assert cosine_then_constant(0, start=0, peak=2.0, warmup=0) == 2.0
    assert one_cycle(0, start=0, peak=2.0, final=1.0, warmup=0, cooldown=0) == 2.0
    assert one_cycle(1, start=0, peak=2.0, final=1.0, warmup=0, cooldown=0) == 1.0
    assert learning_rate(Schedule(kind="constant", peak=3.0), 5) == 3.0


def test_the_first_step_of_a_warm_up_has_moved() -> None:
    assert cosine_then_constant(0, start=0.0, peak=1.0, warmup=2) == pytest.approx(0.5)
