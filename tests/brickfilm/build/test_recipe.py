"""Recipes that cannot be read are wrong calls, not bugs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from brickfilm.build.build_dataset import build
from brickfilm.build.recipe import load_recipe
from brickfilm.errors import UsageError
from brickfilm.sources import FolderSource
from brickfilm.stages import SceneSplitter

IMPORTS = "from brickfilm import FolderSource, SceneSplitter\nsource = FolderSource('films')\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source = (\n", "is not valid Python.*line 1"),
        ("x = 1\n", "no source and no stages"),
        ("\nimport nowhere_to_be_found\n", "in line 2: ModuleNotFoundError: No module named"),
        ("x = 1\0\n", "not valid Python|to load"),
        (IMPORTS + "stages = (SceneSpliter(),)\n", "in line 3: NameError.*SceneSpliter"),
        (IMPORTS + "stages = (SceneSplitter(min_frams=3),)\n", "in line 3: TypeError.*min_frams"),
        (IMPORTS + "stages = SceneSplitter()\n", r"SceneSplitter\(.*a tuple"),
        (IMPORTS + "stages = (SceneSplitter(), 1)\n", "with 1 in the place of a stage"),
    ],
)
def test_a_recipe_that_cannot_be_read_says_why(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("mine.py")
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_recipe(path)


def test_a_recipe_names_its_source_by_a_path_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(IMPORTS.replace("FolderSource('films')", "'films'") + "stages = ()\n")
    assert str(load_recipe(path).source) == str(FolderSource("films"))


@pytest.mark.parametrize("source", [FolderSource, object(), None])
def test_what_is_no_source_is_named_before_the_work_folder_is_made(
    source: Any, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"is no source: give an instance"):
        build(source, [SceneSplitter()], workdir=tmp_path / "work")
    assert not (tmp_path / "work").exists()
