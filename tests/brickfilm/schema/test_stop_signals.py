"""SIGTERM and SIGHUP end a command as Ctrl-C does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib import import_module

import pytest

from brickfilm.schema.stop_signals import STOP_SIGNALS, interrupt_on_stop_signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Begin with the handlers that a shell gives, and put those of the tests back."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOP_SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOP_SIGNALS)
@pytest.mark.parametrize("command", ["brickfilm.cli.app", "finetune.cli.app"])
def test_a_command_is_interrupted(
    command: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module(command)
    monkeypatch.setattr(module, "app", lambda *_: signal.raise_signal(number))
    with pytest.raises(KeyboardInterrupt):
        module.main()


def test_a_signal_that_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupt_on_stop_signals()
    signal.raise_signal(signal.SIGHUP)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
