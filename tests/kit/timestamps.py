"""Make timestamps of frames without a video."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from brickfilm.scan.analyzer import pack_array
from brickfilm.scan.timestamps import FrameTimestamps


def timestamps(
    steps: Sequence[int], *, last: int = 1, flags: Sequence[int] | None = None
) -> FrameTimestamps:
    """Return the timestamps of frames after these steps of 1/24 s, the first at 0."""
    rows = np.array([[step, last, 64, 64] for step in (0, *steps)], np.float64)
    if flags is not None:
        rows = np.column_stack([rows, np.array(flags, np.float64)])
    return FrameTimestamps.from_answer(pack_array(rows, rows.shape[1]), Fraction(1, 24))
