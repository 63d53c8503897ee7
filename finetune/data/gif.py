"""Write animated GIFs."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from torch import Tensor

MIN_FRAME_MS = 20  # viewers slow down faster ones


def write_gif(to: Path | BinaryIO, frames: Tensor, fps: float) -> None:
    """Write frames [T, 3, H, W] uint8 as a GIF that repeats for ever."""
    from PIL import Image

    images = frames.permute(0, 2, 3, 1).contiguous().numpy()
    first, *others = (Image.fromarray(image) for image in images)
    duration = max(MIN_FRAME_MS, round(1000 / fps))
    first.save(to, format="GIF", save_all=True, append_images=others, duration=duration, loop=0)
