"""Choose the frames of a clip that a training sees: at an interval, by time, or by pose.

The rules of retiming are those of `brickfilm export --fps`, which writes such clips.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SamplingKind = Literal["interval", "time", "pose"]
NOT_MEASURED = -1
"""Frames seen of a clip whose drawings are needed and were not measured."""


@dataclass(frozen=True)
class FrameSampling:
    """The settings `sampling`, `frame_interval` and `target_fps` of a training recipe.

    "interval" takes every `interval`-th frame; "time" the frames shown at `target_fps`; "pose" the
    first frame of each drawing, so that no hold is seen.
    """

    kind: SamplingKind = "interval"
    interval: int = 1
    target_fps: Fraction = Fraction(0)

    def needed(self, frames: int) -> int:
        """Return how many frames must be seen of a clip for windows of so many frames.

        At an interval one more than the window's, as in the published training.
        """
        return frames * self.interval + 1 if self.kind == "interval" else frames

    def describe_needed(self, frames: int) -> str:
        """Describe the clips that are long enough."""
        at_rate = f" at {float(self.target_fps):g} fps" if self.kind == "time" else ""
        what = {"interval": f"> {frames * self.interval} frames", "pose": f"{frames} drawings"}
        return what.get(self.kind, f"{frames} frames{at_rate}")

    def count(
        self,
        frames: NDArray[np.int64],
        fps: tuple[NDArray[np.int64], NDArray[np.int64]],
        drawings: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Return how many frames are seen of each clip; 1 for images alone.

        fps: numerators and denominators. drawings: number in each clip, 0 where not measured.
        """
        import numpy as np

        if self.kind == "interval":
            return frames
        if self.kind == "time":
            target = self.target_fps
            sources = np.maximum(target.denominator * fps[0], 1)
            seen = np.where(fps[0] > 0, frames * target.numerator * fps[1] // sources, 0)
        else:
            seen = np.where(drawings > 0, drawings, NOT_MEASURED)
        return np.where(frames == 1, 1, np.where(seen == 1, 0, seen))

    def shown(self, frames: int, fps: Fraction, drawings: Sequence[int]) -> tuple[int, ...]:
        """Return the numbers of the frames that are seen of a clip, of kind "time" or "pose".

        drawings: first frame of each new drawing; empty if not measured.
        """
        if frames == 1:
            return (0,)
        if self.kind == "pose":
            return poses(drawings)
        return resample(frames, drawings, fps, self.target_fps)

    def fps_shown(self, fps: Fraction, drawings: Sequence[int]) -> Fraction:
        """Return the frame rate of what is seen of a clip."""
        if self.kind == "time":
            return self.target_fps
        return fps / (modal_hold(drawings) if self.kind == "pose" else self.interval)


def poses(drawings: Sequence[int]) -> tuple[int, ...]:
    """Return the first frame of each drawing of a clip; its first frame begins one too."""
    return tuple(dict.fromkeys((0, *drawings)))


def modal_hold(drawings: Sequence[int]) -> int:
    """Return the most common number of frames between drawings, the shorter of equal ones."""
    holds = Counter(b - a for a, b in pairwise(drawings))
    return min(holds, key=lambda hold: (-holds[hold], hold), default=1)


def resample(
    frames: int, drawings: Sequence[int], source: Fraction, target: Fraction
) -> tuple[int, ...]:
    """Return the frame of a clip for each frame at another rate.

    Each drawing begins at the new frame nearest to its time, and one frame later where that is
    taken, so that no hold is cut to nothing while a free frame is less than one frame away. Without
    measured drawings each frame counts as one.
    """
    ratio = target / source
    count = max(1, math.floor(frames * ratio))
    starts = _begin_at(poses(drawings or range(frames)), ratio)
    begins = sorted(starts)
    shown = []
    for slot in range(count):
        begin = begins[bisect_right(begins, slot) - 1]
        first, end = starts[begin], _hold_end(starts[begin], drawings, frames)
        shown.append(min(first + math.floor((slot - begin) / ratio), end - 1))
    return tuple(shown)


def _begin_at(drawings: Sequence[int], ratio: Fraction) -> Mapping[int, int]:
    """Return new frame -> first frame of the drawing that begins there."""
    starts: dict[int, int] = {}
    last = -1
    for frame in drawings:
        slot = math.floor(frame * ratio + Fraction(1, 2))
        if slot <= last and last + 1 - frame * ratio < 1:
            slot = last + 1
        slot = max(slot, last, 0)
        starts[slot] = frame
        last = slot
    return starts


def _hold_end(first: int, drawings: Sequence[int], frames: int) -> int:
    """Return the frame after the last one of a drawing."""
    if not drawings:
        return first + 1
    after = bisect_right(drawings, first)
    return drawings[after] if after < len(drawings) else frames
