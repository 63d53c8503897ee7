"""Signals that end a command as Ctrl-C does."""

from __future__ import annotations

import signal
import threading

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt_on_stop_signals() -> None:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, so that a command cleans up (exit code 130).

    A signal that is ignored, as SIGHUP under `nohup`, stays so. Only a main thread can do this.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
