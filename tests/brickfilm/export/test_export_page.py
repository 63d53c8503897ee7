"""docs/export.md says what the commands print and what the formats are."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brickfilm.cli import app
from brickfilm.dataset.reader import find_dataset
from brickfilm.export import FORMATS
from brickfilm.schema.licences import check_redistribution
from brickfilm.schema.target_models import target_models
from tests.kit import ROOT

PAGE = (ROOT / "docs/export.md").read_text(encoding="utf-8")


def test_the_page_lists_every_target_with_its_models() -> None:
    told = dict(re.findall(r"^\| `([\w.-]+)` \| .*? \| ([\w., -]*?) ?\|$", PAGE, re.MULTILINE))
    assert list(told) == list(FORMATS)
    assert told == {
        name: "any" if exporter.models == tuple(target_models()) else ", ".join(exporter.models)
        for name, exporter in FORMATS.items()
    }


@pytest.mark.slow
def test_the_page_shows_what_each_trainer_sees_of_the_demo(tmp_path: Path) -> None:
    run = CliRunner()
    work = str(tmp_path / "work")
    assert run.invoke(app, ["demo", "--out", work]).exit_code == 0
    table = run.invoke(app, ["export", work, "--to", "all", "--dry-run"]).output
    assert table.strip() in PAGE
    check_redistribution(Counter(find_dataset(work).to_pandas("clips").licence))  # it may be pushed
