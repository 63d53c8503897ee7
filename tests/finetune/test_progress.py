"""A long command says what it does, and for how long."""

from __future__ import annotations

import threading

import pytest

from finetune.progress import Heartbeat, ProgressLines, format_seconds


def test_lines_come_while_work_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLines("loading the VAE", every=0.01) as progress:
        while "loading the VAE: 0 s so far" not in capsys.readouterr().err:
            pass
        progress.total, progress.done = 1_200, 300
        while "loading the VAE: 300 of 1,200, " not in capsys.readouterr().err:
            pass


def test_only_the_first_rank_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with ProgressLines("loading", every=0.001):
        threading.Event().wait(0.05)
    assert capsys.readouterr().err == ""


def test_tracked_items_are_counted() -> None:
    progress = ProgressLines("encoding")
    assert list(progress.track(["a", "b"])) == ["a", "b"]
    assert str(progress) == "encoding: 2 of 2, 0 s left"


def test_silence_is_noticed_and_a_beat_is_none() -> None:
    silent = threading.Event()
    heart = Heartbeat(silent.set, every=0.01)
    assert silent.wait(10)
    heart.end()


def test_times_are_short() -> None:
    assert [format_seconds(s) for s in (4.6, 99, 600, 12_600)] == ["5 s", "99 s", "10 min", "3.5 h"]
