"""Find the training recipes, and the sets of conditions on clips, that come with the package."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from brickfilm.errors import UsageError
from brickfilm.files import parse_toml


def find_recipe(name: str | Path) -> Path:
    """Return a recipe's file, by its path or by its name among the packaged ones (`tiny/cpu`).

    Raise UsageError, which names the nearest packaged recipe, if there is none.
    """
    return _found(str(name), _packaged_recipes(), ".toml", "recipe")


def read_recipe(file: Path) -> dict[str, Any]:
    """Return the settings in a recipe's file, on top of those of the recipe that it `extends`.

    Tables are merged key by key; any other value, a list too, replaces the one below. Raise
    UsageError for a file that is no TOML, and for recipes that extend each other.
    """
    return _read_extended(file, ())


def list_variants(name: str) -> list[str]:
    """Return the names of the packaged recipes that extend this one directly, in order."""
    base = find_recipe(name).resolve()
    return [
        other
        for other, file in sorted(_packaged_recipes().items())
        if (below := _parse(file).get("extends")) and _find_beside(file, below).resolve() == base
    ]


def _read_extended(file: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if file.resolve() in above:
        raise UsageError(f"the recipe {str(file)!r} extends itself: remove a key 'extends'")
    settings = _parse(file)
    below = settings.pop("extends", None)
    if below is None:
        return settings
    if not isinstance(below, str):
        raise UsageError(f"{file}: extends = {below!r}: name one recipe, as 'wan/14b-lora'")
    extended = _read_extended(_find_beside(file, below), (*above, file.resolve()))
    return _merge(extended, settings)


def _parse(file: Path) -> dict[str, Any]:
    try:
        return parse_toml(file.read_text("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"the recipe {str(file)!r} cannot be read: {error}") from error
    except ValueError as error:  # no text, or no TOML
        raise UsageError(f"the recipe {str(file)!r} is not TOML: {error}") from error


def _find_beside(file: Path, name: str) -> Path:
    """Return a recipe by its name in the folder of `file`, or as `find_recipe` does."""
    beside = (file.parent / name, file.parent / f"{name}.toml")
    return next((path for path in beside if path.is_file()), None) or find_recipe(name)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return `below` with the values of `above`; tables are merged."""
    tables = {
        key: _merge(below[key], value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return {**below, **above, **tables}


def find_keep_set(name: str | Path) -> Path:
    """Return a file of conditions on clips, by its path or by its name in `recipes/keep/`.

    Raise UsageError, which names the nearest packaged set, if there is none.
    """
    return _found(str(name), keep_sets(), ".txt", "set of conditions")


def keep_sets() -> dict[str, Path]:
    """Return the packaged sets of conditions by name."""
    paths = (path for folder in _recipe_folders() for path in sorted(folder.glob("keep/*.txt")))
    return {path.stem: path for path in paths}


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


def _packaged_recipes() -> dict[str, Path]:
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for folder in _recipe_folders()
        for path in folder.glob("*/*.toml")
    }


def _recipe_folders() -> list[Path]:
    """Return `recipes` in an installed trainer and beside one in a clone, without importing it."""
    trainer = find_spec("finetune")
    places = (trainer and trainer.submodule_search_locations) or ()
    parents = [parent for place in map(Path, places) for parent in (place.parent, place)]
    return [parent / "recipes" for parent in parents]
