"""Scalar inputs of the network, for training and sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from finetune.tensors import to_device_async


class Conditioning(TypedDict):
    """Scalar arguments of `STDiT2.forward`, [B] float32 each."""

    num_frames: Tensor
    height: Tensor  # pixels
    width: Tensor
    ar: Tensor  # height / width
    fps: Tensor


def conditioning(
    frames: int, height: int, width: int, fps: Sequence[float], device: torch.device
) -> Conditioning:
    """Build the scalars of B clips of one size in pixels; fps per clip (`conditioning_fps`)."""

    def repeat(value: float) -> Tensor:
        return to_device_async(torch.full((len(fps),), float(value)), device)

    return Conditioning(
        num_frames=repeat(frames),
        height=repeat(height),
        width=repeat(width),
        ar=repeat(height / width),
        fps=to_device_async(torch.tensor(fps, dtype=torch.float32), device),
    )
