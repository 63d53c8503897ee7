"""Embed and score clips by options of the command line: `--embed`, `--aesthetic`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from brickfilm.build.recipe import DatasetRecipe
from brickfilm.embeddings.clip_model import DEFAULT_MODEL
from brickfilm.engine.calls import AnyStage
from brickfilm.errors import UsageError
from brickfilm.stages import AestheticScorer, ClipTextScorer, FrameSampler, StillEmbedder


def with_scorers(recipe: DatasetRecipe, embed: str | None, aesthetic: Path | None) -> DatasetRecipe:
    """Return the recipe with clips embedded behind their stills, and scored.

    embed: a CLIP model; without one that of LAION's heads, if a head is given. Captions, if there
    are any, are compared with the pictures. Raise UsageError if the recipe has no stills.
    """
    if embed is None and aesthetic is None:
        return recipe
    places = [n for n, stage in enumerate(recipe.stages) if isinstance(stage, FrameSampler)]
    if not places:
        raise UsageError("--embed, --aesthetic: the recipe has no FrameSampler, which takes stills")
    scorers: list[AnyStage] = [StillEmbedder(model=embed or DEFAULT_MODEL)]
    scorers += [AestheticScorer(head=aesthetic)] if aesthetic else []
    stages = [*recipe.stages[: places[-1] + 1], *scorers, *recipe.stages[places[-1] + 1 :]]
    if any("caption" in stage.provides for stage in stages):
        stages.append(ClipTextScorer())
    return replace(recipe, stages=tuple(stages))
