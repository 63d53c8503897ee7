"""Choose the frames of a sample, and resize and crop them: pure functions."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


class Window(NamedTuple):
    """A part of a clip: `frames` frames of the frames * interval that begin at `start`."""

    start: int
    interval: int
    frames: int

    def frame_indices(self, total: int) -> NDArray[np.int64]:
        """Return the frame numbers [frames] in a clip of `total` frames.

        They are evenly spaced, both ends of the window included, and truncated. In a clip that is
        shorter than the window they are spread over the whole clip.
        """
        length = min(self.frames * self.interval, total)
        return np.linspace(self.start, self.start + length - 1, self.frames).astype(np.int64)


def last_start(total: int, frames: int, interval: int) -> int:
    """Return the last frame at which a window of a clip of `total` frames can begin."""
    return max(total - frames * interval, 0)


def random_window(total: int, frames: int, interval: int, uniform: float) -> Window:
    """Return a window in a clip of `total` frames, whose start `uniform` in [0, 1) chooses."""
    start = int(uniform * (last_start(total, frames, interval) + 1))
    return Window(start, interval, frames)


def spread_windows(total: int, frames: int, interval: int, count: int) -> list[Window]:
    """Return up to `count` different windows of a clip, spread evenly over it.

    They begin at 1/2, 1/4, 3/4, 1/8, ... of all places (van der Corput's sequence), so that a
    larger count keeps the windows of a smaller one.
    """
    places = last_start(total, frames, interval) + 1
    starts = dict.fromkeys(int(places * _halving(number)) for number in range(1, count + 1))
    return [Window(start, interval, frames) for start in starts]


def _halving(number: int) -> float:
    """Return a number's binary digits mirrored at the point: 1/2, 1/4, 3/4, 1/8 for 1, 2, 3, 4."""
    digits = f"{number:b}"
    return int(digits[::-1], 2) / (1 << len(digits))


def conditioning_fps(
    fps: Fraction, shown: Fraction, *, frames: int, fps_source: str, image_fps: float
) -> float:
    """Return the model's fps input: the rate of the frames shown, or the file's for "source"."""
    if frames == 1:
        return image_fps
    return float(fps if fps_source == "source" else shown)


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
