"""Models that trainers train: grids of frames, rates and sizes, from `target_models.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from brickfilm.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class TargetModel:
    """A model's grid, rate and usual sizes; `target_models.toml` explains the fields."""

    name: str
    step: int
    fps: int
    multiple: int
    frames: int
    lengths: tuple[int, ...]
    width: int
    height: int
    caption_style: str
    source: str
    date: date

    def round_down(self, frames: int, step: int | None = None) -> int:
        """Return the longest length on the grid of at most `frames`; 0 if there is none."""
        step = step or self.step
        return (frames - 1) // step * step + 1 if frames > 0 else 0


@cache
def target_models() -> Mapping[str, TargetModel]:
    """Return the models of `target_models.toml` by name."""
    table = tomllib.loads(
        Path(__file__).with_name("target_models.toml").read_text(encoding="utf-8")
    )
    return {
        name: TargetModel(name=name, **{**fields, "lengths": tuple(fields["lengths"])})
        for name, fields in table.items()
    }


def find_model(name: str) -> TargetModel:
    """Return a model by name; raise UsageError, which lists the names, for another."""
    models = target_models()
    if name not in models:
        raise UsageError(f"--model {name!r} is not known: {', '.join(models)}")
    return models[name]
