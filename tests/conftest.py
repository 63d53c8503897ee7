"""Fixtures of several folders of tests, and the mark of the fast ones."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence

import pytest

from tests.kit import ROOT

# A shell's background jobs ignore Ctrl-C, and so do the processes that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.kit.servers.hub_plugin"]

INTEGRATION = (
    "tests/benchmarks",
    "tests/brickfilm/build",
    "tests/brickfilm/captions/test_captions.py",
    "tests/brickfilm/captions/test_captions_audit.py",
    "tests/brickfilm/captions/test_captions_batch.py",
    "tests/brickfilm/cli",
    "tests/brickfilm/dataset/test_near_duplicates.py",
    "tests/brickfilm/demo",
    "tests/brickfilm/detectors",
    "tests/brickfilm/engine/test_sinks.py",
    "tests/brickfilm/export/test_export_recut.py",
    "tests/brickfilm/export/test_export_trainers.py",
    "tests/brickfilm/hub",
    "tests/brickfilm/media",
    "tests/brickfilm/scan",
    "tests/brickfilm/sources",
    "tests/brickfilm/stages",
    "tests/brickworld",
    "tests/finetune/data/test_cache.py",
    "tests/finetune/demo",
    "tests/finetune/engines",
    "tests/finetune/preflight/test_preflight.py",
    "tests/finetune/release",
    "tests/finetune/sampling",
    "tests/finetune/training",
    "tests/finetune/validation",
    "tests/test_docs.py",
    "tests/test_halves.py",
    "tests/test_legacy.py",
    "tests/test_wheel.py",
)
"""Tests that render, encode, build, train or serve: seconds each. All others are `unit`."""


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(ROOT).as_posix()
        if not path.startswith(INTEGRATION):
            item.add_marker("unit")


@pytest.fixture(autouse=True)
def usual_scheduling() -> Iterator[None]:
    """Undo the real-time scheduling that SVT-AV1 gives root's process: it starves all others."""
    yield
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
