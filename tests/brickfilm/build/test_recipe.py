"""Recipes that cannot be read are wrong calls, not bugs."""

from __future__ import annotations

from pathlib import Path

import pytest

from brickfilm.build.recipe import load_recipe
from brickfilm.errors import UsageError

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
