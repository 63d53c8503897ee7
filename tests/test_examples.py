"""The page of examples shows what the dry runs of its recipes print."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brickfilm.cli import app
from tests.kit import ROOT

EXAMPLE = re.compile(r"```console\nbrickfilm (build [^\n]*)\n```\n\n```text\n(.*?)```", re.DOTALL)
EXAMPLES = EXAMPLE.findall((ROOT / "docs/examples.md").read_text())


@pytest.mark.slow
def test_dry_runs_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "films").mkdir()
    for file in (ROOT / "brickfilm/demo").glob("brick-film.*"):
        shutil.copy(file, tmp_path / "films")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none is used")
    assert len(EXAMPLES) == 3
    for command, shown in EXAMPLES:
        result = CliRunner().invoke(app, command.split())
        assert result.exit_code == 0, result.output
        printed, _ = result.output.split("the stages:")
        assert printed == shown, command
