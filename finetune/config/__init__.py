"""Training recipes: typed settings with bounds, and the TOML that they are read from."""

from finetune.config.default_prompts import DEFAULT_PROMPTS
from finetune.config.load import load_recipe, parse_recipe, recipe_from_manifest
from finetune.config.recipe import (
    Adapter,
    Bucket,
    Checkpoints,
    Flow,
    Log,
    LossSpikes,
    Network,
    Optimizer,
    PublishedCost,
    Recipe,
    Schedule,
    Validation,
)

__all__ = [
    "DEFAULT_PROMPTS",
    "Adapter",
    "Bucket",
    "Checkpoints",
    "Flow",
    "Log",
    "LossSpikes",
    "Network",
    "Optimizer",
    "PublishedCost",
    "Recipe",
    "Schedule",
    "Validation",
    "load_recipe",
    "parse_recipe",
    "recipe_from_manifest",
]
