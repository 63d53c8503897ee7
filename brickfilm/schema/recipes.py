"""Find the training recipes, and the sets of conditions on clips, that come with the package."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
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
    return _found(str(name), packaged, ".toml", "recipe")


def find_keep_set(name: str | Path) -> Path:
    """Return a file of conditions on clips, by its path or by its name in `recipes/keep/`.

    Raise UsageError, which names the nearest packaged set, if there is none.
    """
    packaged = {
        path.stem: path for folder in _recipe_folders() for path in folder.glob("keep/*.txt")
    }
    return _found(str(name), packaged, ".txt", "set of conditions")


def _found(name: str, packaged: Mapping[str, Path], suffix: str, kind: str) -> Path:
    for path in (Path(name), Path(name + suffix)):
        if path.is_file():
            return path
    if found := packaged.get(name.removesuffix(suffix)):
        return found
    near = difflib.get_close_matches(name, packaged, n=1, cutoff=0)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(
        f"no {kind} {name!r}: {hint}give a {suffix} file, or one of {', '.join(sorted(packaged))}"
    )


def _recipe_folders() -> list[Path]:
    """Return `recipes` in an installed trainer and beside one in a clone, without importing it."""
    trainer = find_spec("finetune")
    places = (trainer and trainer.submodule_search_locations) or ()
    parents = [parent for place in map(Path, places) for parent in (place.parent, place)]
    return [parent / "recipes" for parent in parents]
