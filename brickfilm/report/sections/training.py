"""The clips and seconds that the training of a build can use."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section
from brickfilm.schema.training_lengths import describe_use


def training(context: ReportContext) -> Section | None:
    """Return a sentence with the usable seconds; None for a build that is for no training."""
    if context.training is None:
        return None
    rate = cache(Fraction)  # few rates: one object each, not one a clip
    rows = context.clips.select("num_frames", "fps_num", "fps_den")
    clips = [(row["num_frames"], rate(row["fps_num"], row["fps_den"])) for row in rows]
    return Section("training", "For training", {"text": describe_use(context.training, clips)})
