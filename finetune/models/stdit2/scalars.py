"""The five scalars that STDiT2 is given of a clip, in training and in sampling."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor

from finetune.models.family import ClipConditions
from finetune.tensors import to_device_async


class ClipScalars(TypedDict):
    """Scalars of `STDiT2.forward`, [B] float32 each."""

    num_frames: Tensor
    height: Tensor  # pixels
    width: Tensor
    ar: Tensor  # height / width
    fps: Tensor


def scalars_of(conditions: ClipConditions, device: torch.device) -> ClipScalars:
    """Return the scalars of B clips of one size."""
    height, width, fps = conditions.height, conditions.width, conditions.fps

    def filled(value: float) -> Tensor:
        return to_device_async(torch.full((len(fps),), float(value)), device)

    return ClipScalars(
        num_frames=filled(conditions.frames),
        height=filled(height),
        width=filled(width),
        ar=filled(height / width),
        fps=to_device_async(torch.tensor(fps, dtype=torch.float32), device),
    )
