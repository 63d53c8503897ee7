"""Decide about proposed cuts: `layout` by a rule, `joint` by that rule and TransNetV2.

The network takes as long for one frame as the rest of the scan for a dozen. So it sees a short
window around a proposal only, and is asked only where the other figures leave a doubt (`rule`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.base import BlendFinder, CutScorer, Detector, FlashFinder, Transition
from brickfilm.detectors.transnetv2.network import (
    Thumbnail,
    cut_probabilities,
    require_package,
    thumbnail,
)
from brickfilm.detectors.transnetv2.rule import (
    NOT_ASKED,
    Proposals,
    find_proposals,
    layout_change,
)
from brickfilm.detectors.transnetv2.tone_rule import (
    MIN_CUT_DISSIMILARITY,
    StrictToneProposals,
    ToneProposals,
    find_tone_proposals,
)
from brickfilm.detectors.transnetv2.tones import tone_change
from brickfilm.digest import field_added_later
from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FloatArray, FrameFunction, FrameMetrics
from brickfilm.scan.frame_ranges import FrameRange

WINDOW = 16
"""Frames that the network sees around a proposal. In 100, as published, it overlooks cuts between
shots of 7 frames and takes six times as long; in 8 it loses a tenth of the cuts."""
BLOCK_FRAMES = 1500
"""Frames after which the proposals so far are asked: bounds the thumbnails in memory to 7 MB."""
MARGIN_FRAMES = 100
"""Frames on either side of a block that are looked at beside it."""
MAX_WINDOWS = 16
"""Windows in one call of the network."""


@dataclass(frozen=True, kw_only=True)
class JointDetector(Detector):
    """Decide about frames that differ, by `holds`, the picture's layout and TransNetV2 together."""

    version: ClassVar[int] = 1

    holds: Detector
    """Detector whose first column is the dissimilarity of frames."""
    asks_network: bool = True
    """False to decide without TransNetV2, which then need not be installed."""
    rule: Literal[1, 2, 3] = field_added_later(1)
    """2 weighs the change of tone too. 3 wants more of it where little differs, and leaves blended
    frames out of the baseline. Names (`by_name`) mean the newest; a work folder that an older one
    cut keeps that."""

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        tone = () if self.rule == 1 else ("tone change",)
        return (*self.holds.columns, *tone, "layout change", "probability")

    @property
    def name(self) -> str:
        return "joint" if self.asks_network else "layout"

    def check(self) -> None:
        if self.asks_network:
            require_package(self.name)

    def begin(self, video: Video) -> FrameFunction:
        return _Questions(self, video)

    def cuts(self, metrics: FrameMetrics) -> list[int]:
        return self.proposals(metrics).cuts()

    def proposals(self, metrics: FrameMetrics) -> Proposals | ToneProposals:
        """Return the frames that may be cuts, and the figures by which it is decided."""
        dissimilarity, (tone, layout, network) = metrics.values[:, 0], metrics.values[:, -3:].T
        excluded = self.frames_without_cuts(metrics)
        if self.rule == 1:
            return find_proposals(dissimilarity, layout, network, excluded)
        if self.rule == 2:
            blended, kind = np.zeros(len(metrics), bool), ToneProposals
        else:
            blended, kind = self._blended_frames(metrics), StrictToneProposals
        figures = dissimilarity, layout, tone, network
        return find_tone_proposals(kind, *figures, excluded, blended)

    def probabilities(self, metrics: FrameMetrics) -> FloatArray:
        """Return the probability by the rule that each frame begins a shot, [n]."""
        proposals = self.proposals(metrics)
        found = np.zeros(len(metrics), np.float32)
        found[proposals.frames] = proposals.probabilities()
        return found

    def transitions(self, cuts: Sequence[int], metrics: FrameMetrics) -> list[Transition]:
        """Return those that `holds` names."""
        assert isinstance(self.holds, CutScorer)
        return self.holds.transitions(cuts, self.metrics_of_holds(metrics))

    def flashes(self, metrics: FrameMetrics) -> list[FrameRange]:
        """Return those that `holds` finds."""
        assert isinstance(self.holds, FlashFinder)
        return self.holds.flashes(self.metrics_of_holds(metrics))

    def frames_without_cuts(self, metrics: FrameMetrics) -> NDArray[np.bool_]:
        return self.holds.frames_without_cuts(self.metrics_of_holds(metrics))

    def _blended_frames(self, metrics: FrameMetrics) -> NDArray[np.bool_]:
        if not isinstance(self.holds, BlendFinder):
            return np.zeros(len(metrics), bool)
        return self.holds.blended_frames(self.metrics_of_holds(metrics))

    def shots_between(self, cuts: Sequence[int], metrics: FrameMetrics) -> list[FrameRange]:
        return self.holds.shots_between(cuts, self.metrics_of_holds(metrics))

    def metrics_of_holds(self, metrics: FrameMetrics) -> FrameMetrics:
        """Return the columns of the other detector."""
        values = metrics.values[:, : len(self.holds.columns)]
        return FrameMetrics(values, metrics.times, metrics.is_unique)


class _Questions:
    """Collect the frames of a block, then ask the network about its doubtful proposals."""

    def __init__(self, detector: JointDetector, video: Video) -> None:
        self._detector, self._time_base = detector, video.time_base
        self._analyze = detector.holds.begin(video)
        self._rows: list[list[float]] = []
        self._seconds: list[float] = []
        self._thumbnails: list[Thumbnail] = []
        self._last: tuple[ReducedFrame, Thumbnail | None] | None = None
        self._first = 0
        """Index in these lists of the first frame whose row was not returned."""

    def __call__(self, frame: ReducedFrame) -> Sequence[float]:
        row = self._analyze(frame)
        self._rows.append([*row, *self._changes(frame, row[0]), NOT_ASKED])
        self._seconds.append(float(frame.pts * self._time_base))
        if len(self._rows) - self._first < BLOCK_FRAMES + MARGIN_FRAMES:
            return []
        return self._answer(self._first + BLOCK_FRAMES)

    def _changes(self, frame: ReducedFrame, dissimilarity: float) -> list[float]:
        """Return the change of layout; from the second rule on that of tone before it, or zeros."""
        asks, rule = self._detector.asks_network, self._detector.rule
        is_compared = rule == 1 or dissimilarity >= MIN_CUT_DISSIMILARITY
        now = thumbnail(frame) if asks or is_compared else None
        last, self._last = self._last, (frame, now)
        if asks and now is not None:
            self._thumbnails.append(now)
        if not last or not is_compared or now is None:
            return [0.0] if rule == 1 else [0.0, 0.0]
        before = thumbnail(last[0]) if last[1] is None else last[1]
        change = layout_change(before, now)
        return [change] if rule == 1 else [tone_change(before, now), change]

    def finish(self) -> Sequence[float]:
        return self._answer(len(self._rows))

    def _answer(self, end: int) -> list[float]:
        """Return the rows up to `end`, flattened, and forget frames before its margin."""
        if not self._rows:
            return []
        rows = np.asarray(self._rows, np.float32)
        metrics = FrameMetrics(rows, np.asarray(self._seconds), np.ones(len(rows), bool))
        asks = self._detector.asks_network
        doubtful = self._detector.proposals(metrics).doubtful() if asks else []
        asked = [n for n in doubtful if self._first <= n < end]
        for some in (asked[k : k + MAX_WINDOWS] for k in range(0, len(asked), MAX_WINDOWS)):
            windows = np.stack([self._window(n) for n in some])
            middle = cut_probabilities(windows)[:, WINDOW // 2 - 2 : WINDOW // 2 + 1]
            rows[some, -1] = middle.max(axis=1)
        flat: list[float] = rows[self._first : end].ravel().tolist()
        forgotten = max(0, end - MARGIN_FRAMES)
        for each in (self._rows, self._seconds, self._thumbnails):
            del each[:forgotten]
        self._first = end - forgotten
        return flat

    def _window(self, cut: int) -> NDArray[np.uint8]:
        """Return the thumbnails around a cut, half of them before it; edges are repeated."""
        numbers = np.clip(np.arange(cut - WINDOW // 2, cut + WINDOW // 2), 0, len(self._rows) - 1)
        return np.stack([self._thumbnails[n] for n in numbers])
