"""The benchmarks of training run on a CPU: a case of two blocks, through the real loop."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("diffusers", reason="diffusers is not installed")

from tests.benchmarks.wan import CASES, measure


@pytest.mark.slow
def test_a_small_case_trains_and_reports_its_figures() -> None:
    row = measure(replace(CASES["wan-tiny"], steps=1, warmup=1, asynchronous=True))
    assert row["world"] == 1
    assert 0 < float(str(row["loss"])) < 10
    assert float(str(row["seconds"])) > 0
