"""TransNetV2 alone, on every frame: best on ordinary video, slow without a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from brickfilm.detectors.base import Detector, Transition, shots_from_cuts
from brickfilm.detectors.transnetv2.network import (
    Thumbnail,
    cut_probabilities,
    require_package,
    thumbnail,
)
from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FloatArray, FrameFunction, FrameMetrics
from brickfilm.scan.frame_ranges import FrameRange, ranges_where

WINDOW = 100
"""Frames that the network sees at once, as in training."""
MARGIN = 25
"""Frames at either end of a window whose probabilities are not used, as published."""
MIN_GRADUAL_FRAMES = 4
"""Frames above the threshold that make a gradual transition; a hard cut has one or two."""


@dataclass(frozen=True, kw_only=True)
class TransNetV2(Detector):
    """Cut where TransNetV2's probability is high; needs the extra `shots`."""

    columns: ClassVar[tuple[str, ...]] = ("probability",)

    threshold: float = field(default=0.5, compare=False)
    """Probability of a cut, as published."""

    @property
    def name(self) -> str:
        return "transnetv2"

    def check(self) -> None:
        require_package(self.name)

    def begin(self, video: Video) -> FrameFunction:
        return _SlidingWindow()

    def cuts(self, metrics: FrameMetrics) -> list[int]:
        runs = self._runs(metrics)
        return [run[1] if _is_gradual(run) else _peak(metrics, run) + 1 for run in runs]

    def shots_between(self, cuts: Sequence[int], metrics: FrameMetrics) -> list[FrameRange]:
        first_mixed = {
            end: start + 1 for start, end in self._runs(metrics) if _is_gradual((start, end))
        }
        shots = shots_from_cuts(cuts, len(metrics))
        trimmed = [(start, first_mixed.get(end, end)) for start, end in shots]
        return [(start, end) for start, end in trimmed if end > start]

    def probabilities(self, metrics: FrameMetrics) -> FloatArray:
        """Return the network's own probability that each frame begins a shot, [n]."""
        values = metrics.values[:, 0]
        return np.concatenate((np.zeros(1, np.float32), values[:-1]))[: len(values)]

    def transitions(self, cuts: Sequence[int], metrics: FrameMetrics) -> list[Transition]:
        """Return gradual transitions, which the network does not tell apart."""
        return [
            Transition(start + 1, end, "gradual", float(metrics.values[start:end, 0].max()))
            for start, end in filter(_is_gradual, self._runs(metrics))
        ]

    def _runs(self, metrics: FrameMetrics) -> list[FrameRange]:
        """Return the ranges of frames above the threshold that another shot follows."""
        runs = ranges_where(metrics.values[:, 0] > self.threshold)
        return [run for run in runs if run[1] < len(metrics)]


def _is_gradual(run: FrameRange) -> bool:
    return run[1] - run[0] >= MIN_GRADUAL_FRAMES


def _peak(metrics: FrameMetrics, run: FrameRange) -> int:
    values: FloatArray = metrics.values[slice(*run), 0]
    return run[0] + int(np.argmax(values))


class _SlidingWindow:
    """Ask the network about all frames; rows come WINDOW - MARGIN frames late."""

    def __init__(self) -> None:
        self._frames: list[Thumbnail] = []
        self._waiting = 0
        """Frames without a row."""

    def __call__(self, frame: ReducedFrame) -> Sequence[float]:
        now = thumbnail(frame)
        if not self._frames:
            self._frames = [now] * MARGIN
        self._frames.append(now)
        self._waiting += 1
        return self._ask() if len(self._frames) == WINDOW else []

    def finish(self) -> Sequence[float]:
        rows: list[float] = []
        while (missing := self._waiting) > 0:
            self._frames += [self._frames[-1]] * (WINDOW - len(self._frames))
            rows += self._ask()[:missing]
        return rows

    def _ask(self) -> list[float]:
        """Return the rows of the middle of the window, and move it on."""
        (row,) = cut_probabilities(np.stack(self._frames)[None])
        step = WINDOW - 2 * MARGIN
        self._frames = self._frames[step:]
        self._waiting -= step
        return [float(p) for p in row[MARGIN : MARGIN + step]]
