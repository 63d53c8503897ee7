"""Run the console scripts as an installer writes them: the working folder is not on `sys.path`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from tests.kit import ROOT

SCRIPT = "import sys\nfrom {module} import {name}\n\nsys.exit({name}())\n"


def run_console(
    place: Path, command: str, *words: str, code: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run a console script of this checkout in a folder; check its exit code unless it is None."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, command)
        module, _, name = scripts()[command].partition(":")
        script.write_text(SCRIPT.format(module=module, name=name))
        done = subprocess.run(
            [sys.executable, str(script), *words],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert code in (None, done.returncode), f"{command} {words}: {done.stdout}\n{done.stderr}"
    return done


def scripts() -> dict[str, str]:
    """Return the console scripts of the project, each with its `module:function`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(project["scripts"])
