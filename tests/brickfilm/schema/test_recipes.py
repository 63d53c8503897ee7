"""Find the packaged training recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from brickfilm.errors import UsageError
from brickfilm.schema.recipes import find_recipe, list_variants, read_recipe


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


def test_a_recipe_that_extends_another_has_its_settings_below_its_own(tmp_path: Path) -> None:
    (tmp_path / "large.toml").write_text(
        "steps = 10\nsizes = [1, 2]\n[optimizer]\nkind = 'adamw'\nema = 0.5\n"
    )
    small = tmp_path / "small.toml"
    small.write_text("extends = 'large'\nsizes = [3]\n[optimizer]\nkind = 'adamw_8bit'\n")
    assert read_recipe(small) == {
        "steps": 10,
        "sizes": [3],
        "optimizer": {"kind": "adamw_8bit", "ema": 0.5},
    }
    smaller = tmp_path / "smaller.toml"
    smaller.write_text("extends = 'small.toml'\nsteps = 5\n")
    assert read_recipe(smaller) == read_recipe(small) | {"steps": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends = 'it'", "extends itself: remove"),
        ("extends = 'other'", r"it\.toml' extends itself|other\.toml' extends itself"),
        ("extends = 3", "extends = 3: name one recipe"),
        ("extends = 'tiny/cpus'", "did you mean 'tiny/cpu'"),
        ("extends = 'broken'", r"broken\.toml' is not TOML"),
    ],
)
def test_what_cannot_be_extended_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "other.toml").write_text("extends = 'it'")
    (tmp_path / "broken.toml").write_text("steps =")
    file = tmp_path / "it.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_recipe(file)


def test_packaged_variants_of_a_recipe_are_those_that_extend_it() -> None:
    assert list_variants("wan/14b-lora") == ["wan/14b-lora-16g", "wan/14b-lora-24g"]
    assert list_variants("wan/14b-lora-24g") == []
