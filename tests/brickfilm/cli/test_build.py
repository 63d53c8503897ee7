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
from tests.kit.odd_videos import Film


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


def test_max_pixels_is_an_option_of_the_command_too(tmp_path: Path) -> None:
    Film().write(tmp_path / "film.mp4")
    call = ["build", str(tmp_path), "--out", str(tmp_path / "out"), "--captions", "none"]
    result = CliRunner().invoke(app, [*call, "--max-pixels", "15359", "--dry-run"])
    assert result.exit_code == 0
    assert "'film.mp4' is 160 x 96 pixels, more than max_pixels=15359" in result.output
    assert "(--max-pixels)" in result.output
    result = CliRunner().invoke(app, [*call, "--max-pixels", "15360", "--dry-run"])
    assert "more than max_pixels" not in result.output
    recipe = tmp_path / "recipe.py"
    recipe.write_text("")
    result = CliRunner().invoke(app, ["build", str(recipe), *call[2:4], "--max-pixels", "9"])
    assert "--max-pixels: write FolderSource(..., max_pixels=9)" in str(result.exception)
