"""Find the packaged training recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from brickfilm.errors import UsageError
from brickfilm.schema.recipes import find_recipe


@pytest.mark.parametrize("name", ["text2bricks/32f-stage1", "text2bricks/32f-stage1.toml"])
def test_a_packaged_recipe_is_found_by_its_name_from_any_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe(name).parts[-2:] == ("text2bricks", "32f-stage1.toml")


def test_a_file_comes_before_a_packaged_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/cpu").touch()
    monkeypatch.chdir(tmp_path)
    assert find_recipe("tiny/cpu") == Path("tiny/cpu")


def test_an_unknown_recipe_names_the_nearest_and_all_others() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'text2bricks/64f-stage2'\? .*tiny/cpu"):
        find_recipe("text2brick/64-stage2")
