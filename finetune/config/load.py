"""Read a recipe: strict, typed TOML with `key=value` overrides.

An unknown key is an error that names the nearest known one; a wrong type is one that names what was
expected.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brickfilm.errors import UsageError
from brickfilm.files import parse_toml
from brickfilm.schema.own_modules import add_import_folder
from brickfilm.schema.recipes import find_recipe, read_recipe
from finetune.config.old_keys import OLD_KEYS, VALUES_BEFORE_KEY, rename_old_keys
from finetune.config.recipe import Bucket, Recipe
from finetune.errors import ConfigError

PATH_KEYS = ("dataset", "out", "cache", "init", "vae", "text_encoder")
NAMES_ELSEWHERE = {
    **dict.fromkeys(("lr", "learning_rate", "max_lr"), "schedule.peak"),
    **dict.fromkeys(("warmup_steps", "lr_warmup_steps"), "schedule.warmup"),
    **dict.fromkeys(("save_every", "save_steps", "checkpointing_steps"), "checkpoints.every"),
    **dict.fromkeys(
        ("gradient_accumulation", "gradient_accumulation_steps", "grad_accum"),
        "buckets.0.micro_batch_size",
    ),
}
"""Settings by their names in other trainers."""
MAX_KEY = 80  # characters of an unknown key that are compared and shown
NEAR_ENOUGH = 0.6  # similarity of a suggested key, as difflib measures it


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by path or by name (`tiny/cpu`), and apply `key=value` overrides.

    Raise ConfigError for a file that is missing, is not TOML, or does not fit `Recipe`.
    """
    try:
        file = find_recipe(path)
        data = read_recipe(file)
    except UsageError as error:
        raise ConfigError(str(error)) from error
    add_import_folder(file.parent)  # of a family of the user's own
    return parse_recipe(data, origin=str(file), overrides=overrides)


def parse_recipe(data: dict[str, Any], *, origin: str, overrides: Sequence[str] = ()) -> Recipe:
    """Check TOML, with overrides, against `Recipe`; raise ConfigError, which names `origin`."""
    for override in overrides:
        _apply_override(data, override)
    _, messages = rename_old_keys(data)
    if messages:
        raise ConfigError(f"{origin}: {'; '.join(messages)}")
    return _validate(data, origin)


def recipe_from_manifest(data: Mapping[str, Any], *, origin: str) -> Recipe:
    """Return the recipe in a checkpoint's manifest, which may be of an earlier version."""
    renamed, _ = rename_old_keys(data)
    for (table, key), value in VALUES_BEFORE_KEY.items():
        if isinstance(renamed.get(table), dict):
            renamed[table].setdefault(key, value)
    return _validate(renamed, origin)


def _validate(data: Mapping[str, Any], origin: str) -> Recipe:
    from pydantic import TypeAdapter, ValidationError

    try:
        # JSON: lists may be tuples; a date, such as a folder's name without quotes, is text
        return _expand_paths(TypeAdapter(Recipe).validate_json(json.dumps(data, default=str)))
    except ValidationError as error:
        lines = dict.fromkeys(_describe(problem) for problem in error.errors())
        raise ConfigError(f"{origin}: " + "; ".join(lines)) from error


def _expand_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with `~` at the start of its paths as the home folder."""
    paths = {name: getattr(recipe, name) for name in PATH_KEYS}
    expanded: dict[str, Any] = {
        n: str(Path(p).expanduser()) for n, p in paths.items() if p.startswith("~")
    }
    images = tuple(str(Path(image).expanduser()) for image in recipe.validation.images)
    if images != recipe.validation.images:
        expanded["validation"] = dataclasses.replace(recipe.validation, images=images)
    return dataclasses.replace(recipe, **expanded) if expanded else recipe


def _describe(problem: Any) -> str:
    """Return a validation problem as a sentence: the key, the value, the remedy."""
    path = [part for part in problem["loc"] if f"{part}".isalnum() or f"{part}".isidentifier()]
    *parents, last = path or ["recipe"]  # the rest of `loc` names one type of a union
    dotted = ".".join(map(str, path))
    if problem["type"] == "unexpected_keyword_argument":
        return _describe_unknown_key(parents, str(last))
    if last in ("bool", "int"):  # types of a union
        parent = ".".join(map(str, parents))
        return f"{parent} = {problem['input']!r}: true, false or a whole number"
    if problem["type"] == "string_pattern_mismatch":
        return f"{dotted} is empty: name a folder, or another value it takes"
    if problem["type"] == "missing":
        return f"key {dotted!r} is missing"
    return f"{dotted} = {problem['input']!r}: {problem['msg'].lower()}"


def _describe_unknown_key(parents: Sequence[str | int], key: str) -> str:
    name = OLD_KEYS[f"buckets.{key}"].name if f"buckets.{key}" in OLD_KEYS else key
    if not parents and name in (f.name for f in dataclasses.fields(Bucket)):
        return f"{key!r} is a setting of a bucket: write 'buckets.0.{name}'"
    key = key[:MAX_KEY]
    unknown, keys = ".".join(map(str, (*parents, key))), _keys_at(parents)
    if key in NAMES_ELSEWHERE:
        return f"unknown key {unknown!r}: write {NAMES_ELSEWHERE[key]!r}"
    if near := _nearest(key, keys):
        return f"unknown key {unknown!r}: did you mean {near!r}?"
    if not parents and (near := _nearest(key, [f.name for f in dataclasses.fields(Bucket)])):
        return f"unknown key {unknown!r}: did you mean 'buckets.0.{near}'?"
    tables = [f.name for f in dataclasses.fields(Recipe) if key in _settings_of(f.name)]
    elsewhere = [*([key] if key in _keys_at(()) else []), *(f"{name}.{key}" for name in tables)]
    if elsewhere:
        return f"unknown key {unknown!r}: write {elsewhere[0]!r}"
    return f"unknown key {unknown!r}: choose one of {', '.join(keys)}"


def _nearest(key: str, keys: Sequence[str]) -> str | None:
    """Return the key that is one of the two words of `key`, or the most similar; or none."""
    words = key.split("_")
    if len(words) == 2 and (named := [word for word in words if word in keys]):
        return named[0]
    return next(iter(difflib.get_close_matches(key, keys, n=1, cutoff=NEAR_ENOUGH)), None)


def _settings_of(table: str) -> list[str]:
    """Return the keys of a table of the recipe; none for a setting that is no table."""
    keys = _keys_at((table,))
    return [] if keys == _keys_at(()) else keys


def _keys_at(parents: Sequence[str | int]) -> list[str]:
    """Return the names of the settings of the dataclass that this path leads to."""
    kind: Any = Recipe
    for part in parents:
        if isinstance(part, str):
            hint = typing.get_type_hints(kind)[part]
            kind = next((a for a in (*typing.get_args(hint), hint) if _is_settings(a)), kind)
    return [f.name for f in dataclasses.fields(kind)]


def _is_settings(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _apply_override(data: dict[str, Any], override: str) -> None:
    """Set `a.b.0.c=value` in nested TOML data; a value that is not TOML is a string."""
    dotted, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"override {override!r} has no '=': write key=value")
    try:
        value = parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = dotted.strip().split(".")
    table: Any = data
    try:
        for part in parents:
            table = table[int(part)] if isinstance(table, list) else table.setdefault(part, {})
        table[int(last) if isinstance(table, list) else last] = value
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ConfigError(
            f"override {override!r} matches nothing in this recipe ({error}): write the names of "
            "tables and the numbers of a list's items, from 0, with dots between"
        ) from error
