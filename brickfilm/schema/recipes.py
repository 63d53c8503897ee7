"""Find the training recipes that come with the package."""

from __future__ import annotations

import difflib
from importlib.util import find_spec
from pathlib import Path

from brickfilm.errors import UsageError


def find_recipe(name: str | Path) -> Path:
    """Return a recipe's file, by its path or by its name among the packaged ones (`tiny/cpu`).

    Raise UsageError, which names the nearest packaged recipe, if there is none.
    """
    packaged = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for folder in _recipe_folders()
        for path in folder.glob("*/*.toml")
    }
    for path in (Path(name), Path(f"{name}.toml")):
        if path.is_file():
            return path
    if found := packaged.get(str(name).removesuffix(".toml")):
        return found
    near = difflib.get_close_matches(str(name), packaged, n=1, cutoff=0)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(
        f"no recipe {str(name)!r}: {hint}give a .toml file, or one of {', '.join(sorted(packaged))}"
    )


def _recipe_folders() -> list[Path]:
    """Return `recipes` in an installed trainer and beside one in a clone, without importing it."""
    trainer = find_spec("finetune")
    places = (trainer and trainer.submodule_search_locations) or ()
    parents = [parent for place in map(Path, places) for parent in (place.parent, place)]
    return [parent / "recipes" for parent in parents]
