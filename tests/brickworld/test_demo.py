"""The demo holds what a builder must keep, and what it must leave out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.brickworld import BrickFilm, Shot, demo, demo_film, write_demo

TABOO = re.compile(r"\b(video|image|picture|frame|clip|brick\w*|toy|stop.motion|blocky?)\b", re.I)


def test_the_demo_has_every_case() -> None:
    truth = demo_film().truth()
    assert 30 <= truth.duration <= 45
    assert {shot.hold for shot in truth.shots} == {2, 3}
    assert {shot.kind for shot in truth.shots} == {"action", "frozen", "title"}
    assert sum(shot.end - shot.start < 15 for shot in truth.shots) == 1
    assert sum(shot.transition == "fade" for shot in truth.shots) == 1
    assert truth.ignore
    assert len({shot.scene for shot in truth.shots}) == 5


def test_captions_describe_and_break_no_rule() -> None:
    shots = demo_film().truth().shots + BrickFilm(seed=9, length=60).truth().shots
    for shot in shots:
        assert bool(shot.caption) == (shot.kind != "title")
        assert not TABOO.search(shot.caption), shot.caption
        assert shot.caption.count(".") < 6


@pytest.mark.slow
def test_the_caption_track_follows_the_shots(tmp_path: Path) -> None:
    path = write_demo(tmp_path)
    text = path.with_suffix(".vtt").read_text(encoding="utf-8")
    assert text.startswith("WEBVTT\n\n")
    starts = re.findall(r"^00:00:(\d\d\.\d{3}) --> ", text, re.M)
    truth = demo_film().truth(path)
    told = [shot for shot in truth.shots if shot.caption]
    assert [float(s) for s in starts] == pytest.approx(
        [float(truth.pts[shot.start] * truth.time_base) for shot in told], abs=0.001
    )


def test_the_demo_is_drawn_once_and_again_where_drawing_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = BrickFilm(seed=1, size=(64, 36), shots=(Shot(frames=4),))
    monkeypatch.setattr(demo, "demo_film", lambda: small)
    path = write_demo(tmp_path)
    first = path.stat().st_mtime_ns
    assert write_demo(tmp_path).stat().st_mtime_ns == first
    path.with_suffix(".digest").unlink()
    assert write_demo(tmp_path).stat().st_mtime_ns > first
