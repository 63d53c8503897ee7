"""Choose the measures of a build once, and keep them for the work folder.

More measures decode every video once more, which may be deleted by now, and add columns: a newer
version must not do that to a folder unasked. A score that a stage asks for is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from brickfilm.build.plan_file import FILENAME as PLAN
from brickfilm.build.plan_file import Plan
from brickfilm.build.work_folder import is_new_folder
from brickfilm.engine.calls import AnyStage
from brickfilm.errors import UsageError
from brickfilm.stages import SceneSplitter

NEW, FIRST = "default", "first"
"""Sets of a new folder, and of one that was built before plans recorded them."""


def with_kept_measures(stages: Sequence[AnyStage], work: Path) -> list[AnyStage]:
    """Return the stages, `measures="auto"` replaced by the work folder's, and what stages need."""
    required = {name for stage in stages for name in stage.requires}
    return [
        stage.with_measures(_set_of(work), required)
        if isinstance(stage, SceneSplitter) and stage.has_automatic_measures
        else stage
        for stage in stages
    ]


def _set_of(work: Path) -> str:
    """Return the folder's set; raise UsageError if its plan, which recorded it, is damaged."""
    if is_new_folder(work):
        return NEW
    try:
        plan = Plan.read(work)
    except UsageError:
        raise UsageError(
            f"{str(work / PLAN)!r} is damaged, and recorded the measures: give them with "
            f"--measures {NEW}, or with --measures {FIRST} for a folder of an older version"
        ) from None
    settings = (plan.settings("SceneSplitter") if plan else None) or {}
    return str(settings.get("measure_set", FIRST) or NEW)
