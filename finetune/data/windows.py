"""Choose the frames of a sample, and resize and crop them: pure functions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

IMAGE_FPS = 120.0  # fps input of images in the published training


def window_frame_indices(
    total: int, frames: int, interval: int, uniform: float
) -> NDArray[np.int64]:
    """Return the frame numbers [frames] of a sample: a window of frames * interval frames.

    The numbers are evenly spaced over the window, ends included, and truncated; `uniform` in [0, 1)
    places the window. In a shorter clip the window is the whole clip.
    """
    length = min(frames * interval, total)
    start = int(uniform * (total - length + 1))
    return np.linspace(start, start + length - 1, frames).astype(np.int64)


def conditioning_fps(fps: Fraction, interval: int, *, frames: int, fps_source: str) -> float:
    """Return the model's fps input: the sampled frames' rate, or the file's for "source"."""
    if frames == 1:
        return IMAGE_FPS
    return float(fps) if fps_source == "source" else float(fps / interval)


def resize_and_crop(frames: Tensor, height: int, width: int) -> Tensor:
    """Convert frames [N, 3, h, w] uint8 to [N, 3, height, width] float32 in [-1, 1].

    They are scaled (bilinear, antialiased) to cover the size, then cropped around the centre.
    """
    rows, columns = frames.shape[-2:]
    scale = max(height / rows, width / columns)
    covered = max(height, round(rows * scale)), max(width, round(columns * scale))
    images = frames.float()
    if covered != (rows, columns):
        images = F.interpolate(images, size=covered, mode="bilinear", antialias=True)
    top, left = (covered[0] - height) // 2, (covered[1] - width) // 2
    images = images[..., top : top + height, left : left + width].clamp(0, 255)
    return torch.as_tensor(images / 127.5 - 1)
