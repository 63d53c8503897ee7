"""Plan a recipe by its name, and name the packaged variants of it that fit a smaller GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brickfilm.schema.recipes import list_variants
from finetune.config import load_recipe
from finetune.errors import EngineError
from finetune.planning.plan import plan


def plan_recipe(name: str, overrides: Sequence[str] = (), **hardware: Any) -> str:
    """Return the plan of a recipe; hardware: the arguments of `plan`.

    Raise EngineError if no batch fits the GPU; it names the recipes that extend this one and fit.
    """
    try:
        return plan(load_recipe(name, overrides), **hardware)
    except EngineError as error:
        fit = [variant for variant in list_variants(name) if _fits(variant, overrides, hardware)]
        if not fit:
            raise
        raise EngineError(f"{error}; packaged recipes that fit: {', '.join(fit)}") from error


def _fits(name: str, overrides: Sequence[str], hardware: dict[str, Any]) -> bool:
    try:
        plan(load_recipe(name, overrides), **hardware)
    except EngineError:
        return False
    return True
