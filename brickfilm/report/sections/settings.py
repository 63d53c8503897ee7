"""The settings that made the dataset, and the versions of what made it."""

from __future__ import annotations

from brickfilm.build.plan_file import Plan
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section
from brickfilm.report.titles import stage_title


def settings(context: ReportContext) -> Section | None:
    """Return each stage with its settings, and the versions; None without a plan file."""
    plan = Plan.read(context.work)
    if plan is None:
        return None
    stages = [
        (stage_title(stage.name), stage.name, stage.shown.removeprefix(stage.name)[1:-1])
        for stage in plan.stages
    ]
    data = {"stages": stages, "tools": dict(plan.tools)}
    return Section("settings", "Settings and versions", data)
