"""On a GPU, every ColossalAI engine loses what PyTorch's loses, on a shallow XL/2."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.kit.gpu_check import ENGINES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch can use"),
    pytest.mark.skipif(
        importlib.util.find_spec("colossalai") is None, reason="ColossalAI is not installed"
    ),
]


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "torch"])
def test_it_loses_what_torch_loses_saves_and_resumes(engine: str, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    exact = "float32" if "float16" in engine else "torch"
    options = ["--batch", "2", "--engines", f"{exact},{engine}", "--set", "network.depth=4"]
    command = [sys.executable, "-m", "tests.kit.gpu_check", "--work", str(tmp_path / "work")]
    ended = subprocess.run([*command, *options, "--result", str(result)], check=False)
    found = json.loads(result.read_text())
    assert ended.returncode == 0, found["off"]
    assert len(found["engines"][engine]["resumed_losses"]) == 2
