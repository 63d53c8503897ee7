"""Recipes that cannot be read are wrong calls, not bugs."""

from __future__ import annotations

from pathlib import Path

import pytest

from brickfilm.commands.build import load_recipe
from brickfilm.errors import UsageError

IMPORTS = "from brickfilm import FolderSource, SceneSplitter\nsource = FolderSource('films')\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("source = (\n", "is no Python.*line 1"),
        ("x = 1\n", "no source and no stages"),
        (IMPORTS + "stages = SceneSplitter()\n", r"SceneSplitter\(.*a tuple"),
        (IMPORTS + "stages = (SceneSplitter(), 1)\n", "with 1 in the place of a stage"),
    ],
)
def test_a_recipe_that_cannot_be_read_says_why(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        load_recipe(path)
