"""Find the lengths that a training can use, by the name of a trainer, a model or a recipe."""

from __future__ import annotations

from brickfilm.errors import UsageError
from brickfilm.export.formats import FORMATS
from brickfilm.export.make_exporter import make_exporter
from brickfilm.schema.target_models import target_models
from brickfilm.schema.training_lengths import TrainingLengths
from brickfilm.schema.training_recipe import TrainingRecipe


def find_training_recipe(name: str | None) -> TrainingRecipe | None:
    """Return the recipe of `finetune` of a name; None for a trainer, a model, and no name."""
    is_other = name is None or name in target_models() or name.partition(":")[0] in FORMATS
    return None if is_other else TrainingRecipe.from_name(str(name))


def training_lengths(name: str) -> TrainingLengths:
    """Return the lengths of a trainer (`simpletuner`, `musubi-tuner:wan2.2`), model or recipe.

    Raise UsageError, which lists them, for another name.
    """
    trainer, _, model = name.partition(":")
    if trainer in FORMATS:
        return make_exporter(trainer, model or None).training_lengths
    try:
        return TrainingLengths.of(name)
    except UsageError as error:
        known = f"a trainer ({', '.join(FORMATS)}) or a model ({', '.join(target_models())})"
        raise UsageError(f"{error}; or {known}") from error
