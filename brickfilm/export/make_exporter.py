"""Make the exporter for a trainer's name, a model and the lengths and size that were asked for."""

from __future__ import annotations

from brickfilm.errors import UsageError
from brickfilm.export.formats import FORMATS
from brickfilm.export.target import Target
from brickfilm.export.trainer_format import TrainerFormat
from brickfilm.schema.target_models import find_model


def make_exporter(
    trainer: str,
    model: str | None = None,
    *,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
) -> TrainerFormat:
    """Return the exporter for a trainer; the model is the trainer's first one if none is named.

    Raise UsageError for an unknown trainer or model, a model that the trainer does not train, and a
    length or size off the model's grid.
    """
    if trainer not in FORMATS:
        raise UsageError(f"--to {trainer!r} is not known: {', '.join(FORMATS)}")
    exporter = FORMATS[trainer]
    name = find_model(model).name if model else exporter.models[0]
    if name not in exporter.models:
        raise UsageError(f"{trainer} does not train {name}: {', '.join(exporter.models)}")
    return exporter(Target.of(name, frames=frames, size=size))
