"""Animation cadence of the clips: on ones, twos, threes or fours, and its regularity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brickfilm.dataset.rows import DatasetRow
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

HOLD_NAMES = {0: "no motion", 1: "on ones", 2: "on twos", 3: "on threes", 4: "on fours"}
EXAMPLES = 2
STRIP_FRAMES = 36
"""Frames shown of an example: 1.5 seconds at 24 fps."""
MIN_REGULARITY = 0.8
"""Minimum `score_hold_regularity` of a clip that counts as regular."""


@dataclass(frozen=True)
class CadenceExample:
    """An example clip, and its first frames: True is a new picture, False a held one."""

    id: str
    label: str
    frames: list[bool]


@dataclass(frozen=True)
class HoldGroup:
    """Clips with the same prevailing hold."""

    name: str
    clips: int
    seconds: float
    percent: float
    """Number of clips, in percent of the largest group."""
    drawing_fps: float
    regularity: float
    """Medians over the clips."""
    pulldown: int
    examples: list[CadenceExample]


def cadence(context: ReportContext) -> Section | None:
    """Return a row for each hold: number of clips, rate, regularity and example clips."""
    by_hold: defaultdict[int, list[DatasetRow]] = defaultdict(list)
    for row in context.clips:
        if row.get("score_hold") is not None:
            by_hold[int(row["score_hold"])].append(row)
    if not by_hold:
        return None
    most = max(map(len, by_hold.values()))
    moving = [row for hold, rows in by_hold.items() if hold for row in rows]
    data = {
        "groups": [_group(hold, rows, most) for hold, rows in sorted(by_hold.items())],
        "strip": STRIP_FRAMES,
        "moving": len(moving),
        "regular": sum(row["score_hold_regularity"] >= MIN_REGULARITY for row in moving),
        "pulldown": sum(row["score_pulldown"] > 0 for row in moving),
    }
    return Section("cadence", "Cadence", data)


def _group(hold: int, rows: Sequence[DatasetRow], most: int) -> HoldGroup:
    regular_first = sorted(rows, key=lambda row: (-row["score_hold_regularity"], row["id"]))
    return HoldGroup(
        name=HOLD_NAMES.get(hold, f"held for {hold} frames"),
        clips=len(rows),
        seconds=sum(row["duration"] for row in rows),
        percent=100 * len(rows) / most,
        drawing_fps=_median(rows, "score_drawing_fps"),
        regularity=_median(rows, "score_hold_regularity"),
        pulldown=sum(row["score_pulldown"] > 0 for row in rows),
        examples=[_example(row) for row in regular_first[:EXAMPLES]],
    )


def _example(row: DatasetRow) -> CadenceExample:
    new = set(row.get("new_drawings") or ())
    frames = [n in new for n in range(min(STRIP_FRAMES, row["num_frames"]))] if new else []
    title = row["source_title"] or row["source_id"]
    return CadenceExample(row["id"], f"{title}, {row['start']:.1f} s", frames)


def _median(rows: Sequence[DatasetRow], name: str) -> float:
    return float(np.median([row[name] for row in rows]))
