"""Conditions of the packaged sets and of the build, with what each would drop of the clips."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brickfilm.build.plan_file import Plan
from brickfilm.records import Clip
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section
from brickfilm.schema.columns import SCORE_PREFIX
from brickfilm.schema.recipes import keep_sets
from brickfilm.stages.keep import CLIP_PROPERTIES, Keep, score_of

OWN = "this build"
"""Name of the conditions of the build itself."""


@dataclass(frozen=True)
class Threshold:
    """The clips that a condition would drop by itself, or that a set drops together."""

    condition: str
    sets: Sequence[str]
    clips: int
    share: float
    """Of all seconds of the clips, 0 to 1."""


def thresholds(context: ReportContext) -> Section | None:
    """Return what each condition drops of all clips that were measured, left out ones included.

    None without scores. A clip without a score is kept.
    """
    has_scores = any(name.startswith(SCORE_PREFIX) for name in context.clips.names)
    if not has_scores or not context.clips:
        return None
    conditions = _conditions(context)
    clips = _Clips(context, {"duration", *(keep.score for keep in conditions)})
    seconds = clips.values("duration")
    drops = {keep: clips.dropped_by(keep) for keep in conditions}
    named = [(keep.condition, names, drops[keep]) for keep, names in conditions.items()]
    for name in dict.fromkeys(name for names in conditions.values() for name in names):
        of_set = [drops[keep] for keep, names in conditions.items() if name in names]
        named.append(("together", [name], np.logical_or.reduce(of_set)))
    rows = [
        Threshold(
            condition, names, int(dropped.sum()), float(seconds[dropped].sum() / seconds.sum())
        )
        for condition, names, dropped in named
    ]
    return Section("thresholds", "What conditions would drop", {"rows": rows, "of": len(seconds)})


def _conditions(context: ReportContext) -> Mapping[Keep, list[str]]:
    """Return the conditions of the build and of the packaged sets, with the names of their sets."""
    sets: defaultdict[Keep, list[str]] = defaultdict(list)
    plan = Plan.read(context.work)
    for stage in plan.stages if plan else ():
        if stage.name == Keep.__name__:
            bounds = stage.settings.get("at_least"), stage.settings.get("at_most")
            sets[Keep(stage.settings["score"], *bounds)].append(OWN)
    for name in keep_sets():
        for keep in Keep.read(name):
            sets[keep].append(name)
    return sets


class _Clips:
    """Some scores and properties of the dataset's clips and of those that were left out.

    Of a clip that was left out, of which there may be a million, only these numbers are kept.
    """

    def __init__(self, context: ReportContext, scores: Collection[str]) -> None:
        self.table = context.clips.table
        left_out = {
            clip.id: array("d", [_number(score_of(clip, score)) for score in scores])
            for clip in context.excluded
            if isinstance(clip, Clip) and clip.id in context.left_out_results
        }
        columns = np.array(list(left_out.values()), np.float64).reshape(-1, len(scores)).T
        self.left_out = dict(zip(scores, columns, strict=True))

    def values(self, score: str) -> NDArray[np.float64]:
        """Return the value of each clip, NaN where it was not measured."""
        column = score if score in CLIP_PROPERTIES else SCORE_PREFIX + score
        rows = np.full(self.table.num_rows, np.nan)
        if column in self.table.column_names:
            rows = self.table[column].to_pandas().to_numpy(np.float64)
        return np.concatenate([rows, self.left_out[score]])

    def dropped_by(self, keep: Keep) -> NDArray[np.bool_]:
        values = self.values(keep.score)
        below = values < (-np.inf if keep.at_least is None else keep.at_least)
        above = values > (np.inf if keep.at_most is None else keep.at_most)
        return np.asarray(below | above)


def _number(value: float | None) -> float:
    return np.nan if value is None else value
