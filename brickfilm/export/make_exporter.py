"""Make the exporter for a trainer's name, a model and the lengths and size that were asked for."""

from __future__ import annotations

from brickfilm.errors import UsageError
from brickfilm.export.formats import FORMATS
from brickfilm.export.target import Target
from brickfilm.export.trainer_format import TrainerFormat
from brickfilm.schema.own_modules import import_object
from brickfilm.schema.target_models import find_model


def make_exporter(
    trainer: str,
    model: str | None = None,
    *,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
) -> TrainerFormat:
    """Return the exporter for a trainer; the model is the trainer's first one if none is named.

    trainer: a name in FORMATS, or `module:Class` for a TrainerFormat of one's own.
    Raise UsageError for an unknown trainer or model, a model that the trainer does not train, and a
    length or size off the model's grid.
    """
    exporter = FORMATS.get(trainer) or _own_format(trainer)
    name = find_model(model).name if model else exporter.models[0]
    if name not in exporter.models:
        raise UsageError(f"{trainer} does not train {name}: {', '.join(exporter.models)}")
    return exporter(Target.of(name, frames=frames, size=size))


def _own_format(name: str) -> type[TrainerFormat]:
    found = import_object(name) if ":" in name else None
    if not (isinstance(found, type) and issubclass(found, TrainerFormat)):
        raise UsageError(
            f"--to {name!r} is not known: {', '.join(FORMATS)}, or module:Class for a subclass of "
            "brickfilm.export.TrainerFormat"
        )
    if found.__abstractmethods__:
        raise UsageError(f"--to {name!r} has no {', '.join(sorted(found.__abstractmethods__))}")
    return found
