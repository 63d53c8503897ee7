"""Which frames of a clip are seen, and how they are made to fit: pure functions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

IMAGE_FPS = 120.0  # what the published model is told of a still


def window_frame_indices(
    total: int, frames: int, interval: int, uniform: float
) -> NDArray[np.int64]:
    """Frame numbers [frames] of one sample: a window of frames * interval, at a random place.

    Truncated, evenly spaced numbers over the window, its ends included; `uniform` in [0, 1) picks
    the place. A clip shorter than its window gives all it has.
    """
    length = min(frames * interval, total)
    start = int(uniform * (total - length + 1))
    return np.linspace(start, start + length - 1, frames).astype(np.int64)


def conditioning_fps(fps: Fraction, interval: int, *, frames: int, fps_source: str) -> float:
    """The rate told to the model: of the frames that it sees, or (`told="source"`) of the file."""
    if frames == 1:
        return IMAGE_FPS
    return float(fps) if fps_source == "source" else float(fps / interval)


def resize_and_crop(frames: Tensor, height: int, width: int) -> Tensor:
    """frames [N, 3, h, w] uint8 -> [N, 3, height, width] float32 in [-1, 1].

    Scaled (bilinear, antialiased) until it covers the size, then cropped around the centre.
    """
    rows, columns = frames.shape[-2:]
    scale = max(height / rows, width / columns)
    covering = max(height, round(rows * scale)), max(width, round(columns * scale))
    pictures = frames.float()
    if covering != (rows, columns):
        pictures = F.interpolate(pictures, size=covering, mode="bilinear", antialias=True)
    top, left = (covering[0] - height) // 2, (covering[1] - width) // 2
    pictures = pictures[..., top : top + height, left : left + width].clamp(0, 255)
    return torch.as_tensor(pictures / 127.5 - 1)
