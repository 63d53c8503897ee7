"""A rank that the others wait for is named, once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from finetune.training import step_metrics
from finetune.training.slow_ranks import SlowRanks
from finetune.training.step_metrics import StepTimer

PLACES = ["node 0, a", "node 0, a", "node 1, b", "node 1, b"]


def test_a_slow_node_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    ranks = SlowRanks(PLACES)
    ranks.warn(10, [1.0, 1.1, 2.0, 2.1])
    assert [record.getMessage()[:44] for record in caplog.records] == [
        "step 10: rank 2 (node 1, b) is slow: 2.00 s ",
        "step 10: rank 3 (node 1, b) is slow: 2.10 s ",
    ]
    ranks.warn(20, [1.0, 1.1, 2.0, 2.1])
    assert len(caplog.records) == 2
    ranks.warn(30, [1.0, 1.1, 1.2, 1.4])  # fast again
    ranks.warn(40, [1.0, 1.1, 1.2, 1.8])
    assert [r.getMessage()[:20] for r in caplog.records[2:]] == ["step 40: rank 3 (nod"]


def test_toy_steps_of_milliseconds_are_not_compared(caplog: pytest.LogCaptureFixture) -> None:
    SlowRanks(PLACES).warn(10, [0.001, 0.001, 0.001, 0.015])
    assert not caplog.records


def test_a_rank_s_own_time_leaves_out_that_of_waiting_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([0.0, 2.0, 12.0, 15.0, 25.0])
    monkeypatch.setattr(step_metrics, "clock", SimpleNamespace(perf_counter=lambda: next(times)))
    timer = StepTimer()
    timer.data_ready()  # after 2 s of its own
    timer.compute_begins()  # others waited for their data until 12
    timer.computed()  # after 3 s of its own
    timer.finish_step(1, 1)  # others computed until 25
    assert timer.own_seconds() == 5.0
    assert timer.own_seconds() == 0.0
