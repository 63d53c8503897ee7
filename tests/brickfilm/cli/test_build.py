"""Recipes that cannot be read are wrong calls, not bugs."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from brickfilm.cli import app
from brickfilm.cli.build import dry_run_build, load_recipe, resolve_recipe, run_build
from brickfilm.errors import UsageError

IMPORTS = "from brickfilm import FolderSource, SceneSplitter\nsource = FolderSource('films')\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("source = (\n", "is no Python.*line 1"),
        ("x = 1\n", "no source and no stages"),
        ("\nimport nowhere_to_be_found\n", "in line 2: ModuleNotFoundError: No module named"),
        ("x = 1\0\n", "no Python|to load"),
        (IMPORTS + "stages = (SceneSpliter(),)\n", "in line 3: NameError.*SceneSpliter"),
        (IMPORTS + "stages = (SceneSplitter(min_frams=3),)\n", "in line 3: TypeError.*min_frams"),
        (IMPORTS + "stages = SceneSplitter()\n", r"SceneSplitter\(.*a tuple"),
        (IMPORTS + "stages = (SceneSplitter(), 1)\n", "with 1 in the place of a stage"),
    ],
)
def test_a_recipe_that_cannot_be_read_says_why(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("mine.py")
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        load_recipe(path)


def test_a_wrong_call_leaves_no_folder_behind(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    recipe = resolve_recipe(tmp_path / "none", "none")
    for attempt in (run_build, dry_run_build):
        with pytest.raises(UsageError, match="no film below"):
            attempt(recipe, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="no film below"):
        run_build(recipe, tmp_path / "out")
    assert (tmp_path / "out").exists()  # it was there before


def test_the_version_is_said() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("brickfilm ")
