"""Freeze counts holds of half a second or more."""

from __future__ import annotations

import pytest

from brickfilm.measures import Freeze
from tests.brickfilm.measures.holds import metrics_of_holds


def test_only_long_holds_are_freezes() -> None:
    assert Freeze().summarise(metrics_of_holds([4] * 12))["freeze_share"] == 0
    assert Freeze().summarise(metrics_of_holds([25, *[1] * 24]))["freeze_share"] == pytest.approx(
        25 / 48, 0.03
    )
    assert Freeze().summarise(metrics_of_holds([50]))["freeze_share"] == 1
