"""`brickfilm lint` of a work folder."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from brickfilm.cli import app


def test_lint_reads_the_captions_of_a_work_folder(small_original: Path) -> None:
    told = CliRunner().invoke(app, ["lint", str(small_original / "w"), "--json"])
    assert json.loads(told.stdout)["captions"] == 4  # two clips and their images
    wrong = CliRunner().invoke(app, ["lint", str(small_original / "w"), "--column", "words"])
    assert "has this column" in str(wrong.exception)
