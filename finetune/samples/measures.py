"""Numbers that say how a clip moves and holds together: pure functions of its frames.

Frames are [T, 3, H, W] uint8. None needs a network; none says whether the prompt was met. A model
whose samples have the numbers of its training clips may still be wrong, one whose do not is.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
BLOCK = 8  # pixels; motion is seen on averages of such squares, so that noise is none
HELD = 0.5 / 255  # a mean change below half a level is a held frame


class Measures(NamedTuple):
    """Of one clip; brightness in [0, 1]."""

    flicker: float  # mean |x[t-1] - 2 x[t] + x[t+1]| / 2: what changes and changes back
    motion: float  # mean change of 8-pixel blocks from frame to frame
    frozen: float  # share of frames that hold the one before
    sharpness: float  # mean gradient between neighbouring pixels
    sharpness_drift: float  # last quarter / first quarter - 1
    colour_drift: float  # distance of the mean colours of first and last quarter


NAMES = {
    "flicker": "temporal flicker",
    "motion": "motion from frame to frame",
    "frozen": "share of held frames",
    "sharpness": "sharpness",
    "sharpness_drift": "sharpness drift over the clip",
    "colour_drift": "colour drift over the clip",
}


def measure(frames: Tensor) -> Measures:
    """All of them. A picture alone neither moves nor drifts."""
    colours = frames.float() / 255
    luma = brightness(colours)
    return Measures(
        flicker=flicker(luma),
        motion=motion(luma),
        frozen=frozen(luma),
        sharpness=float(gradients(luma).mean()),
        sharpness_drift=sharpness_drift(luma),
        colour_drift=colour_drift(colours),
    )


def brightness(colours: Tensor) -> Tensor:
    """[T, 3, H, W] -> [T, H, W]."""
    return torch.einsum("tchw,c->thw", colours, torch.tensor(LUMA))


def flicker(luma: Tensor) -> float:
    """Zero for a steady change, such as a fade; high where brightness jumps to and fro."""
    if len(luma) < 3:
        return 0.0
    return float((luma[:-2] - 2 * luma[1:-1] + luma[2:]).abs().mean() / 2)


def motion(luma: Tensor) -> float:
    """Mean change of blocks a frame: cheaper than optical flow, blind to flat surfaces."""
    if len(luma) < 2:
        return 0.0
    blocks = F.avg_pool2d(luma[:, None], min(BLOCK, *luma.shape[-2:]))
    return float(blocks.diff(dim=0).abs().mean())


def frozen(luma: Tensor) -> float:
    """Held frames over all that could hold."""
    if len(luma) < 2:
        return 0.0
    return float((luma.diff(dim=0).abs().mean(dim=(1, 2)) < HELD).float().mean())


def gradients(luma: Tensor) -> Tensor:
    """[T]: mean absolute difference to the right and lower neighbour."""
    across, down = luma.diff(dim=2).abs(), luma.diff(dim=1).abs()
    return (across.mean(dim=(1, 2)) + down.mean(dim=(1, 2))) / 2


def sharpness_drift(luma: Tensor) -> float:
    """-0.5: the last quarter is half as sharp as the first."""
    first, last = _ends(gradients(luma))
    return float(last.mean() / first.mean().clamp(min=1e-6) - 1)


def colour_drift(colours: Tensor) -> float:
    """Distance in RGB, 0 to the square root of 3."""
    first, last = _ends(colours.mean(dim=(2, 3)))
    return float((last.mean(0) - first.mean(0)).norm())


def _ends(values: Tensor) -> tuple[Tensor, Tensor]:
    """First and last quarter of a clip."""
    quarter = max(1, len(values) // 4)
    return values[:quarter], values[-quarter:]
