"""Intervals of the reviewed random sample."""

from __future__ import annotations

import pytest

from brickfilm.captions.error_rates import ErrorRate, wilson_interval


@pytest.mark.parametrize(
    ("wrong", "reviewed", "low", "high"),
    [
        (0, 20, 0.0, 0.16112515805281935),
        (1, 10, 0.017876213095072896, 0.4041500267952385),
        (5, 120, 0.0179267168801095, 0.09384085233703535),
        (50, 50, 0.9286524008666412, 1.0),
    ],
)
def test_the_interval_is_wilsons(wrong: int, reviewed: int, low: float, high: float) -> None:
    """Values of scipy.stats.binomtest(wrong, reviewed).proportion_ci(method="wilson")."""
    assert wilson_interval(wrong, reviewed) == pytest.approx((low, high), abs=1e-9)


def test_a_rate_reads_as_a_sentence() -> None:
    assert str(ErrorRate(5, 120)) == "4.17 % (1.8-9.4 %, 120 reviewed)"
    assert str(ErrorRate(0, 1200)) == "0 % (0.0-0.3 %, 1,200 reviewed)"
