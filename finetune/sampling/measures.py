"""Measure flicker, motion, sharpness and drift of a clip: pure functions of its frames.

Frames are [T, 3, H, W] uint8. No measure needs a network, and none shows if the prompt was met.
Samples with the measures of the training clips may still be wrong; samples without them are.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from finetune.errors import SamplingError

LUMA_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601
MOTION_QUANTILE = 0.9  # of the flow over a frame: moving parts cover about a tenth
MIN_FLOW_SIDE = 16  # pixels that optical flow needs
HELD_FRAME_THRESHOLD = 0.5 / 255  # mean change of half an 8-bit level
MIN_GRADIENT = 0.5 / 255  # smaller gradients are not edges


class VideoMetrics(NamedTuple):
    """Measures of one clip; brightness in [0, 1]."""

    flicker: float  # mean |x[t-1] - 2 x[t] + x[t+1]| / 2: changes reversed in the next frame
    motion: float  # optical flow from frame to frame, in frame heights
    frozen: float  # share of frames equal to the previous one
    sharpness: float  # mean gradient between adjacent pixels
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
    """Compute all measures of frames [T, 3, H, W] uint8; a single frame has no motion or drift.

    Raise SamplingError for another shape or type.
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
    """Return the luma [T, H, W] of RGB frames [T, 3, H, W]."""
    return torch.einsum("tchw,c->thw", colours, torch.tensor(LUMA_WEIGHTS))


def flicker(luma: Tensor) -> float:
    """Return the mean second difference: 0 for a fade, high for alternating brightness."""
    if len(luma) < 3:
        return 0.0
    return float((luma[:-2] - 2 * luma[1:-1] + luma[2:]).abs().mean() / 2)


def motion(luma: Tensor) -> float:
    """Return the 0.9 quantile of the optical flow (DIS, Kroeger et al., 2016), mean over pairs.

    A quantile, since a uniform surface has no flow of its own and takes its neighbours'.
    """
    import cv2

    if len(luma) < 2:
        return 0.0
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    images = (luma * 255).round().to(torch.uint8).numpy()
    fields = (flow.calc(one, two, None) for one, two in pairwise(images))
    speeds = [np.quantile(np.linalg.norm(field, axis=2), MOTION_QUANTILE) for field in fields]
    return float(np.mean(speeds)) / luma.shape[1]


def frozen(luma: Tensor) -> float:
    """Return the share of frames that equal the previous one."""
    if len(luma) < 2:
        return 0.0
    return float((luma.diff(dim=0).abs().mean(dim=(1, 2)) < HELD_FRAME_THRESHOLD).float().mean())


def gradients(luma: Tensor) -> Tensor:
    """Return the mean absolute difference to the right and lower pixel, [T]."""
    across, down = luma.diff(dim=2).abs(), luma.diff(dim=1).abs()
    return (across.mean(dim=(1, 2)) + down.mean(dim=(1, 2))) / 2


def sharpness_drift(luma: Tensor) -> float:
    """Return the relative change of sharpness; -0.5: the last quarter is half as sharp."""
    first, last = (
        part.mean().clamp(min=MIN_GRADIENT) for part in _first_and_last_quarter(gradients(luma))
    )
    return float(last / first - 1)


def colour_drift(colours: Tensor) -> float:
    """Return the RGB distance of first and last quarter, 0 to the square root of 3."""
    first, last = _first_and_last_quarter(colours.mean(dim=(2, 3)))
    return float((last.mean(0) - first.mean(0)).norm())


def _first_and_last_quarter(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and last quarter of a clip, at least one frame each."""
    quarter = max(1, len(values) // 4)
    return values[:quarter], values[-quarter:]


def _check_frames(frames: Tensor) -> None:
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] != 3:
        raise SamplingError(
            f"a clip of {frames.dtype} {list(frames.shape)} cannot be measured: "
            "pass frames [T, 3, H, W] of torch.uint8"
        )
    if not len(frames):
        raise SamplingError("a clip of 0 frames cannot be measured: pass at least one")
    if min(frames.shape[2:]) < MIN_FLOW_SIDE:
        raise SamplingError(
            f"frames of {frames.shape[2]}x{frames.shape[3]} cannot be measured: "
            f"each side must have at least {MIN_FLOW_SIDE} pixels"
        )
