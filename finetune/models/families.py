"""The model families, and finding one by the name that a recipe gives."""

from __future__ import annotations

from collections.abc import Mapping

from brickfilm.errors import UsageError
from brickfilm.schema.own_modules import import_object
from finetune.config import Recipe
from finetune.errors import ConfigError, WeightsError
from finetune.models.diffusers import DIFFUSERS_FAMILIES
from finetune.models.diffusers.base import DiffusersFamily, family_of_index
from finetune.models.diffusers.pipeline_folder import read_index
from finetune.models.family import Family
from finetune.models.stdit2.family import STDIT2

FAMILIES: Mapping[str, Family] = {f.name: f for f in (STDIT2, *DIFFUSERS_FAMILIES)}
"""By the recipe's `family`; a new family is one more name in this line."""


def find_family(name: str) -> Family:
    """Return the family of this name, or the object at `module:name` for one of your own.

    Raise ConfigError if there is none.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    try:
        found = import_object(name) if ":" in name else None
    except UsageError as error:
        raise ConfigError(f"family {error}") from error
    if found is None:
        raise ConfigError(
            f"no family {name!r}: choose one of {', '.join(FAMILIES)}, or module:object for one of "
            "your own"
        )
    if isinstance(found, type) or not isinstance(found, Family):
        raise ConfigError(
            f"family {name!r} is {found!r}: name an instance of a subclass of "
            "finetune.models.Family"
        )
    if missing := [member for member in Family.__annotations__ if not hasattr(found, member)]:
        raise ConfigError(f"family {name!r} has no {', '.join(missing)}: set it in the class")
    return found


def recognise_family(source: str) -> DiffusersFamily:
    """Return the family of a pipeline of diffusers, by its model_index.json.

    Raise WeightsError for a source without one, and for pipelines of no family.
    """
    index = read_index(source)
    if index is None:
        raise WeightsError(
            f"{source!r} has no model_index.json, so it is no pipeline in diffusers' layout: name "
            "another folder or Hub id, such as Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
        )
    if family := family_of_index(index):
        return family
    names = ", ".join(family.name for family in DIFFUSERS_FAMILIES)
    raise WeightsError(
        f"{source!r} is a {index.get('_class_name')}, of no family here: choose one of {names}"
    )


def family_of(recipe: Recipe) -> Family:
    """Return the recipe's family; raise ConfigError if the recipe asks for what it lacks."""
    family = find_family(recipe.family)
    _check_grid(family, recipe)
    family.check(recipe)
    return family


def _check_grid(family: Family, recipe: Recipe) -> None:
    """Raise ConfigError for buckets or validation samples off the family's grid."""
    if family.needs_image and recipe.validation.prompts and not recipe.validation.images:
        raise ConfigError(
            f"family {family.name!r} animates first frames: name a file for each prompt in "
            "validation.images, or set validation.prompts = []"
        )
    wanted = {f"buckets.{n}.frames": bucket.frames for n, bucket in enumerate(recipe.buckets)}
    if recipe.validation.prompts:
        wanted["validation.frames"] = recipe.validation.frames
    for key, frames in wanted.items():
        nearest = family.grid.nearest_frames(frames)
        if frames != nearest:
            raise ConfigError(
                f"{key} is {frames}: family {family.name!r} takes {family.grid.frame_step} n + "
                f"{family.grid.frame_offset}; the nearest is {nearest}: set {key}={nearest}"
            )
