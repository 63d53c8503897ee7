"""Choose the shot detector of a build once, and keep it for the work folder.

Another detector cuts other clips, whose captions are other requests: an extra that is installed
later must not change a folder that was paid for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from brickfilm.build.plan_file import FILENAME as PLAN
from brickfilm.build.plan_file import Plan
from brickfilm.build.work_folder import answered, is_new_folder
from brickfilm.detectors import Detector, JointDetector, is_installed
from brickfilm.detectors.by_name import DETECTORS_BY_NAME, FIRST_DETECTOR
from brickfilm.detectors.found_shots import described_scores
from brickfilm.engine.calls import AnyStage
from brickfilm.errors import UsageError
from brickfilm.scan.wipes import WipeAnalyzer
from brickfilm.stages import SceneSplitter

RULES: tuple[Literal[1, 2, 3], ...] = (3, 2, 1)
"""Rules of `layout` and `joint`, the newest first."""


def with_kept_detector(stages: Sequence[AnyStage], work: Path) -> list[AnyStage]:
    """Return the stages, `detector="auto"` replaced by the work folder's detector.

    A new folder gets that of `new_detector`. Cuts are described in a new folder, and where the
    detector changes; a folder whose cuts are not described stays so.
    """
    kept = [
        stage.with_detector(_detector_of(work))
        if isinstance(stage, SceneSplitter) and stage.is_automatic
        else stage
        for stage in stages
    ]
    kept = [_with_kept_rule(s, work) if isinstance(s, SceneSplitter) else s for s in kept]
    return [
        replace(stage, describe_cuts=_describes_cuts(stage, stages, work))
        if isinstance(stage, SceneSplitter) and stage.describe_cuts is None
        else stage
        for stage in kept
    ]


def _describes_cuts(splitter: SceneSplitter, stages: Sequence[AnyStage], work: Path) -> bool:
    """Return False for a folder whose videos this detector has cut without descriptions."""
    digests = answered(work)
    assert isinstance(splitter.detector, Detector)
    if WipeAnalyzer().digest in digests or splitter.detector.digest not in digests:
        return True
    wanted = {name for stage in stages for name in stage.requires}
    if missing := sorted(wanted & set(described_scores(splitter.detector))):
        raise UsageError(
            f"{missing[0]!r} was not computed in {str(work)!r}, which an older version cut: give "
            "SceneSplitter(describe_cuts=True); clips are divided at wipes then, and --dry-run "
            "says what that costs"
        )
    return False


def new_detector() -> str:
    """Return the name of the detector of a new work folder: 'joint' with the extra `shots`."""
    return "joint" if is_installed() else "layout"


def _with_kept_rule(splitter: SceneSplitter, work: Path) -> SceneSplitter:
    """Return the stage with the newest rule of its detector that has cut this folder, if any."""
    detector = splitter.detector
    if not isinstance(detector, JointDetector):
        return splitter
    digests = answered(work)
    rules = [replace(detector, rule=rule) for rule in RULES if rule <= detector.rule]
    kept = next((older for older in rules if older.digest in digests), detector)
    if kept == detector:
        return splitter
    print(
        f"shots: {str(work)!r} keeps rule {kept.rule} of {detector.name!r}; a new folder gets the "
        "newest",
        file=sys.stderr,
    )
    return replace(splitter, detector=kept)


def _detector_of(work: Path) -> str:
    best = new_detector()
    if is_new_folder(work):
        return best
    kept = _recorded(work)
    if kept not in DETECTORS_BY_NAME:
        raise UsageError(
            f"{str(work)!r} was cut by the detector {kept!r}: name it in "
            "SceneSplitter(detector=...), or choose another with `brickfilm build --detector`, "
            "which cuts anew"
        )
    if kept == FIRST_DETECTOR:
        print(
            f"shots: {str(work)!r} keeps the detector {kept!r}; `brickfilm build --detector "
            f"{best}` cuts anew, and its --dry-run says what that costs",
            file=sys.stderr,
        )
    return kept


def _recorded(work: Path) -> str:
    """Return the detector in the folder's plan; raise UsageError if the plan is damaged."""
    try:
        plan = Plan.read(work)
    except UsageError:
        raise UsageError(
            f"{str(work / PLAN)!r} is damaged, and recorded the shot detector: give it with "
            f"`brickfilm build --detector {FIRST_DETECTOR}`, or {new_detector()}; another one than "
            "before cuts anew"
        ) from None
    settings = (plan.settings("SceneSplitter") if plan else None) or {}
    return str(settings.get("shot_detector", FIRST_DETECTOR))
