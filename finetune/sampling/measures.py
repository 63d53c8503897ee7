"""Numbers that say how a clip moves and holds together: pure functions of its frames.

Frames are [T, 3, H, W] uint8. None needs a network; none says whether the prompt was met. A model
whose samples have the numbers of its training clips may still be wrong, one whose do not is.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from finetune.errors import SamplingError

LUMA_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601
MOTION_QUANTILE = 0.9  # quantile of the flow over the picture: what moves fills a tenth of it
MIN_FLOW_SIDE = 16  # pixels a side, below which there is no flow to see
HELD_FRAME_THRESHOLD = 0.5 / 255  # a mean change below half a level is a held frame
MIN_GRADIENT = 0.5 / 255  # gradients below it are no edges that could blur


class VideoMetrics(NamedTuple):
    """Of one clip; brightness in [0, 1]."""

    flicker: float  # mean |x[t-1] - 2 x[t] + x[t+1]| / 2: what changes and changes back
    motion: float  # optical flow from frame to frame, in frame heights
    frozen: float  # share of frames that hold the one before
    sharpness: float  # mean gradient between neighbouring pixels
    sharpness_drift: float  # last quarter / first quarter - 1
    colour_drift: float  # distance of the mean colours of first and last quarter


METRIC_TITLES = {
    "flicker": "temporal flicker",
    "motion": "motion from frame to frame",
    "frozen": "share of held frames",
    "sharpness": "sharpness",
    "sharpness_drift": "sharpness drift over the clip",
    "colour_drift": "colour drift over the clip",
}


def compute_metrics(frames: Tensor) -> VideoMetrics:
    """All of them, of frames [T, 3, H, W] uint8. A picture alone neither moves nor drifts.

    Raises SamplingError for what is no clip.
    """
    _check_frames(frames)
    colours = frames.float() / 255
    luma = brightness(colours)
    return VideoMetrics(
        flicker=flicker(luma),
        motion=motion(luma),
        frozen=frozen(luma),
        sharpness=float(gradients(luma).mean()),
        sharpness_drift=sharpness_drift(luma),
        colour_drift=colour_drift(colours),
    )


def brightness(colours: Tensor) -> Tensor:
    """[T, 3, H, W] -> [T, H, W]."""
    return torch.einsum("tchw,c->thw", colours, torch.tensor(LUMA_WEIGHTS))


def flicker(luma: Tensor) -> float:
    """Zero for a steady change, such as a fade; high where brightness jumps to and fro."""
    if len(luma) < 3:
        return 0.0
    return float((luma[:-2] - 2 * luma[1:-1] + luma[2:]).abs().mean() / 2)


def motion(luma: Tensor) -> float:
    """Mean over pairs of frames of the flow (DIS, Kroeger et al., 2016) of what moves.

    A tenth of the picture is faster than the number of its pair: an even surface has no flow of
    its own, and takes its neighbours'.
    """
    import cv2

    if len(luma) < 2:
        return 0.0
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    pictures = (luma * 255).round().to(torch.uint8).numpy()
    fields = (flow.calc(one, two, None) for one, two in pairwise(pictures))
    speeds = [np.quantile(np.linalg.norm(field, axis=2), MOTION_QUANTILE) for field in fields]
    return float(np.mean(speeds)) / luma.shape[1]


def frozen(luma: Tensor) -> float:
    """Held frames over all that could hold."""
    if len(luma) < 2:
        return 0.0
    return float((luma.diff(dim=0).abs().mean(dim=(1, 2)) < HELD_FRAME_THRESHOLD).float().mean())


def gradients(luma: Tensor) -> Tensor:
    """[T]: mean absolute difference to the right and lower neighbour."""
    across, down = luma.diff(dim=2).abs(), luma.diff(dim=1).abs()
    return (across.mean(dim=(1, 2)) + down.mean(dim=(1, 2))) / 2


def sharpness_drift(luma: Tensor) -> float:
    """-0.5: the last quarter is half as sharp as the first."""
    first, last = (
        part.mean().clamp(min=MIN_GRADIENT) for part in _first_and_last_quarter(gradients(luma))
    )
    return float(last / first - 1)


def colour_drift(colours: Tensor) -> float:
    """Distance in RGB, 0 to the square root of 3."""
    first, last = _first_and_last_quarter(colours.mean(dim=(2, 3)))
    return float((last.mean(0) - first.mean(0)).norm())


def _first_and_last_quarter(values: Tensor) -> tuple[Tensor, Tensor]:
    """First and last quarter of a clip."""
    quarter = max(1, len(values) // 4)
    return values[:quarter], values[-quarter:]


def _check_frames(frames: Tensor) -> None:
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] != 3:
        raise SamplingError(
            f"a clip of {frames.dtype} {list(frames.shape)} cannot be measured: "
            "give frames [T, 3, H, W] of torch.uint8"
        )
    if not len(frames):
        raise SamplingError("a clip of 0 frames cannot be measured: give one at least")
    if min(frames.shape[2:]) < MIN_FLOW_SIDE:
        raise SamplingError(
            f"frames of {frames.shape[2]}x{frames.shape[3]} cannot be measured: "
            f"give {MIN_FLOW_SIDE} pixels a side at least"
        )
