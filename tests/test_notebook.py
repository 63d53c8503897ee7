"""The notebook is run from its first cell to its last."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.kit import ROOT

nbformat = pytest.importorskip("nbformat", reason="the notebook's runner is not installed")
nbclient = pytest.importorskip("nbclient", reason="the notebook's runner is not installed")
pytest.importorskip("ipykernel", reason="the notebook's kernel is not installed")


@pytest.mark.slow
def test_the_notebook_trains_a_toy_and_shows_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRICKFILM_TINY", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    notebook = nbformat.read(ROOT / "docs/examples/wan-lora.ipynb", as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    (*_, last) = notebook.cells
    shown, names = last.outputs
    assert "<video" in shown.data["text/html"]
    assert "comfyui_lora.safetensors" in names.data["text/plain"]


def test_it_is_stored_without_outputs() -> None:
    notebook = nbformat.read(ROOT / "docs/examples/wan-lora.ipynb", as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
