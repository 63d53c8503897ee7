"""Measure motion as VMAF does, on full frames, for published thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from brickfilm.media import ReducedFrame, VmafMotionFilter
from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores


@dataclass(frozen=True, kw_only=True)
class VmafMotion(Measure):
    """Compute the mean of FFmpeg's `vmafmotion` over a clip's frames, in levels.

    It counts held frames as no motion, and grows with the size of the frame: thresholds of other
    pipelines (2 to 14) are of this number. Not among the default measures: it looks at every pixel.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("motion",)
    provides: ClassVar[tuple[str, ...]] = ("vmaf_motion",)
    with_full_luma: ClassVar[bool] = True

    def begin(self, video: Video) -> FrameFunction:
        vmaf_motion = VmafMotionFilter()

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            return (vmaf_motion(frame.full_luma),)

        return analyze

    def summarise(self, metrics: FrameMetrics) -> Scores:
        motion = metrics.values[:, 0].copy()
        motion[:1] = 0  # as for a file that begins here
        return {"vmaf_motion": round(float(motion.mean()), 4)}
