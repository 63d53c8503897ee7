"""One demo and one Space for all tests that send them real requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import ROOT
from tests.kit.demo_server import DemoServer, demo_server, export_space


@pytest.fixture(scope="session")
def served_demo(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    """`finetune demo` of the toy model."""
    folder = tmp_path_factory.mktemp("demo")
    out, uploads = folder / "made", folder / "uploads"
    words = ["-m", "finetune", "demo", "--model", str(toy_model), "--out", str(out)]
    with demo_server(words, ROOT, out=out, uploads=uploads) as server:
        yield server


@pytest.fixture(scope="session")
def served_space(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    """An exported Space, run in its own folder."""
    folder = tmp_path_factory.mktemp("space")
    home = export_space(folder / "space", toy_model)
    out, uploads = home / "samples", folder / "uploads"
    with demo_server(["app.py"], home, out=out, uploads=uploads) as server:
        yield server
