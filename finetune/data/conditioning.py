"""What the network is told of clips in numbers, in training and in sampling alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from finetune.tensors import to_device_async


class Conditioning(TypedDict):
    """The scalars of `STDiT2.forward`, [B] float32 each."""

    num_frames: Tensor
    height: Tensor  # pixels
    width: Tensor
    ar: Tensor  # height / width
    fps: Tensor


def conditioning(
    frames: int, height: int, width: int, fps: Sequence[float], device: torch.device
) -> Conditioning:
    """Of B clips of one size in pixels; fps of each clip, as `seen_fps` gives it."""

    def of_all(value: float) -> Tensor:
        return to_device_async(torch.full((len(fps),), float(value)), device)

    return Conditioning(
        num_frames=of_all(frames),
        height=of_all(height),
        width=of_all(width),
        ar=of_all(height / width),
        fps=to_device_async(torch.tensor(fps, dtype=torch.float32), device),
    )
