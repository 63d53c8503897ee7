"""Limits of the system are one line: a full disk behind the output, few open files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit import ROOT


def run_in_shell(command: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which $BRICKFILM is `python -m brickfilm`."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=place,
        env={"BRICKFILM": f"{sys.executable} -m brickfilm", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_output_to_a_full_disk_is_one_line(tmp_path: Path) -> None:
    done = run_in_shell("$BRICKFILM --version > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: No space left on device: make room, or write the output elsewhere\n"
    )


@pytest.mark.slow
def test_too_few_open_files_is_one_line(tmp_path: Path) -> None:
    done = run_in_shell("ulimit -n 16; $BRICKFILM demo --out work", tmp_path)
    assert done.returncode == 1
    (last,) = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert last == (
        "error: Too many open files: raise the limit of open files with `ulimit -n 1024`"
    )
