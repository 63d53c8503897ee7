"""Metrics of clips with known holds."""

from __future__ import annotations

import numpy as np

from brickfilm.scan.analyzer import FrameMetrics


def metrics_of_holds(holds: list[int], fps: float = 24.0) -> FrameMetrics:
    """Return the metrics of a clip with these holds."""
    is_unique = np.concatenate([np.r_[True, np.zeros(hold - 1, bool)] for hold in holds])
    times = np.arange(len(is_unique)) / fps
    return FrameMetrics(np.empty((len(is_unique), 0), np.float32), times, is_unique)
