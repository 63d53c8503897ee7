"""Animation cadence of the clips: on ones, twos, threes or fours, and its regularity."""

from __future__ import annotations

from array import array
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
HOLD_SCORES = ("score_hold", "score_hold_regularity", "score_drawing_fps", "score_pulldown")
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


class HoldCounter:
    """Count the clips of one hold, of which only the most regular are kept as rows."""

    def __init__(self) -> None:
        self.clips = self.regular = self.pulldown = 0
        self.seconds = 0.0
        self._regularity, self._drawing_fps = array("d"), array("d")
        self.first: list[tuple[float, str, int]] = []
        """Of the most regular clips, negative regularity, id and place among the rows."""

    def add(self, place: int, row: DatasetRow) -> None:
        """Count the clip of a row."""
        regularity = row["score_hold_regularity"]
        self.clips += 1
        self.seconds += row["duration"]
        self.regular += regularity >= MIN_REGULARITY
        self.pulldown += row["score_pulldown"] > 0
        self._regularity.append(regularity)
        self._drawing_fps.append(row["score_drawing_fps"])
        self.first = sorted([*self.first, (-regularity, row["id"], place)])[:EXAMPLES]

    def group(self, hold: int, most: int, clips: Sequence[DatasetRow]) -> HoldGroup:
        """Return the counts; most: clips of the largest group."""
        return HoldGroup(
            name=HOLD_NAMES.get(hold, f"held for {hold} frames"),
            clips=self.clips,
            seconds=self.seconds,
            percent=100 * self.clips / most,
            drawing_fps=float(np.median(self._drawing_fps)),
            regularity=float(np.median(self._regularity)),
            pulldown=self.pulldown,
            examples=[_example(clips[place]) for _, _, place in self.first],
        )


def cadence(context: ReportContext) -> Section | None:
    """Return a row for each hold: number of clips, rate, regularity and example clips."""
    by_hold: defaultdict[int, HoldCounter] = defaultdict(HoldCounter)
    for place, row in enumerate(context.clips.select("id", "duration", *HOLD_SCORES)):
        if "score_hold" in row:
            by_hold[int(row["score_hold"])].add(place, row)
    if not by_hold:
        return None
    most = max(counter.clips for counter in by_hold.values())
    moving = [counter for hold, counter in by_hold.items() if hold]
    data = {
        "groups": [
            counter.group(hold, most, context.clips) for hold, counter in sorted(by_hold.items())
        ],
        "strip": STRIP_FRAMES,
        "moving": sum(counter.clips for counter in moving),
        "regular": sum(counter.regular for counter in moving),
        "pulldown": sum(counter.pulldown for counter in moving),
    }
    return Section("cadence", "Cadence", data)


def _example(row: DatasetRow) -> CadenceExample:
    new = set(row.get("new_drawings") or ())
    frames = [n in new for n in range(min(STRIP_FRAMES, row["num_frames"]))] if new else []
    title = row["source_title"] or row["source_id"]
    return CadenceExample(row["id"], f"{title}, {row['start']:.1f} s", frames)
