"""Keep clips by conditions of the command line: `--keep`, `--keep-all`, and the default."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches

from brickfilm.build.recipe import DatasetRecipe
from brickfilm.errors import UsageError
from brickfilm.measures import ALL_MEASURES
from brickfilm.stages import Keep, SceneSplitter
from brickfilm.stages.keep import CLIP_PROPERTIES

BLANK_LIMITS = {"black_share": 0.5, "flat_share": 0.5, "color_bars": 0.5}
"""Shares of frames above which a clip shows nothing: black, one flat colour, a test card."""


def keeps_of(conditions: Iterable[str]) -> list[Keep]:
    """Return the stages of conditions as `motion>=0.02`, and of sets by name or file.

    Raise UsageError for what is neither.
    """
    keeps: list[Keep] = []
    for text in conditions:
        if any(sign in text for sign in "<>="):
            keeps.append(Keep.parse(text))
        else:
            keeps += _set_of(text)
    return keeps


def _set_of(name: str) -> tuple[Keep, ...]:
    try:
        return Keep.read(name)
    except UsageError as error:
        hint = "; or write a score and its bound in quotes, as 'motion>=0.02'"
        raise UsageError(f"{error}{hint}") from None


def with_keeps(
    recipe: DatasetRecipe, conditions: Sequence[str] | None, with_blank: bool
) -> DatasetRecipe:
    """Return the recipe with conditions, or sets of them, behind the stages that give the scores.

    with_blank: keep clips that show nothing, which otherwise go by BLANK_LIMITS, unless a condition
    is on the same score, or the work folder is older than it. Raise UsageError for a condition that
    cannot be read, or whose score no measure gives.
    """
    given = keeps_of(conditions or ())
    limits = {} if with_blank else BLANK_LIMITS
    scores = {keep.score for keep in given}
    blank = [Keep(s, at_most=m, if_measured=True) for s, m in limits.items() if s not in scores]
    places = [n for n, stage in enumerate(recipe.stages) if isinstance(stage, SceneSplitter)]
    if not places:
        if given:
            raise UsageError("--keep: the recipe has no SceneSplitter, which measures clips")
        return recipe
    provided = [name for stage in recipe.stages for name in stage.provides]
    behind: dict[int, list[Keep]] = {places[-1]: blank}
    for keep in given:
        check_score(keep.score, provided)
        givers = [n for n, stage in enumerate(recipe.stages) if keep.score in stage.provides]
        behind.setdefault(max([places[-1], *givers]), []).append(keep)
    stages = [s for n, stage in enumerate(recipe.stages) for s in (stage, *behind.get(n, ()))]
    return replace(recipe, stages=tuple(stages))


def check_score(score: str, provided: Iterable[str]) -> None:
    """Raise UsageError for a score that neither the recipe nor any measure gives."""
    of_measures = {name for measure in ALL_MEASURES for name in measure.provides}
    known = sorted({*provided, *CLIP_PROPERTIES, *of_measures})
    if score not in known:
        near = get_close_matches(score, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"--keep: no measure gives {score!r}: {hint}")
