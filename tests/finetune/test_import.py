"""An installation without the extra names what to install."""

from __future__ import annotations

import subprocess
import sys

from tests.kit import ROOT


def test_without_torch_the_error_says_what_to_install() -> None:
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import finetune"
    bare = [sys.executable, "-S", "-c", script]  # without the packages of this environment
    ended = subprocess.run(bare, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "ImportError: finetune needs torch" in ended.stderr
    assert "pip install 'brickfilm[finetune]'" in ended.stderr
