"""The demo film has shots to keep and shots to reject, with captions."""

from __future__ import annotations

import re

import pytest

from tests.brickworld import BrickFilm, demo_film

TABOO = re.compile(r"\b(video|image|picture|frame|clip|brick\w*|toy|stop.motion|blocky?)\b", re.I)


@pytest.mark.slow
def test_the_demo_has_every_case() -> None:
    truth = demo_film().truth()
    assert 30 <= truth.duration <= 45
    assert {shot.hold for shot in truth.shots} == {2, 3}
    assert {shot.kind for shot in truth.shots} == {"action", "frozen", "title"}
    assert sum(shot.end - shot.start < 15 for shot in truth.shots) == 1
    assert sum(shot.transition == "fade" for shot in truth.shots) == 1
    assert truth.ignore
    assert len({shot.scene for shot in truth.shots}) == 5


@pytest.mark.slow
def test_captions_describe_and_break_no_rule() -> None:
    shots = demo_film().truth().shots + BrickFilm(seed=9, length=60).truth().shots
    for shot in shots:
        assert bool(shot.caption) == (shot.kind != "title")
        assert not TABOO.search(shot.caption), shot.caption
        assert shot.caption.count(".") < 6
