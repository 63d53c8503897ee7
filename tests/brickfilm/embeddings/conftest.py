"""A tiny CLIP for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.tiny_clip import write_tiny_clip


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return write_tiny_clip(tmp_path_factory.mktemp("clip") / "model")
