"""The commands of a build, as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from brickfilm.build.caption_options import CaptionOptions
from brickfilm.build.recipe import resolve_recipe
from brickfilm.cli import app
from brickfilm.cli.build import dry_run_build, run_build
from brickfilm.errors import UsageError


def test_a_wrong_call_leaves_no_folder_behind(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    recipe = resolve_recipe(tmp_path / "none", CaptionOptions(captions="none"))
    for attempt in (run_build, dry_run_build):
        with pytest.raises(UsageError, match="no video below"):
            attempt(recipe, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="no video below"):
        run_build(recipe, tmp_path / "out")
    assert (tmp_path / "out").exists()  # it was there before


def test_the_version_is_said() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("brickfilm ")


@pytest.mark.parametrize("flag", ["--licence", "--license"])
def test_both_spellings_of_licence_are_accepted(tmp_path: Path, flag: str) -> None:
    call = ["build", str(tmp_path), "--out", str(tmp_path / "out"), flag, "CC BX"]
    result = CliRunner().invoke(app, call)
    assert isinstance(result.exception, UsageError)
    assert "'CC BX' is not known" in str(result.exception)
