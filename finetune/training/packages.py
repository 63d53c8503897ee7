"""Check that the packages which a recipe needs are installed, before weights are loaded."""

from __future__ import annotations

from importlib.util import find_spec

from finetune.config import Recipe
from finetune.errors import ConfigError


def check_packages(recipe: Recipe) -> None:
    """Raise ConfigError for a package of an extra that the recipe needs and that is missing."""
    if recipe.adapter:
        _require("peft", "lora", "adapter")
    if recipe.optimizer.kind == "adamw_8bit":
        _require("torchao", "8bit", "optimizer.kind 'adamw_8bit'")


def _require(package: str, extra: str, setting: str) -> None:
    if find_spec(package) is None:
        raise ConfigError(f"{setting} needs {package}: pip install 'brickfilm[{extra}]'")
