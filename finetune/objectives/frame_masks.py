"""Frame masks: the frames of a training clip to denoise; the others are conditioning frames."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

MASK_KINDS = (
    "none",
    "quarter_random",
    "quarter_head",
    "quarter_tail",
    "quarter_head_tail",
    "frame_random",
    "frame_head",
    "frame_tail",
    "frame_head_tail",
)

MASK_PROBABILITIES: Mapping[str, float] = {
    "none": 0.75,
    "quarter_random": 0.025,
    "quarter_head": 0.025,
    "quarter_tail": 0.025,
    "quarter_head_tail": 0.05,
    "frame_random": 0.025,
    "frame_head": 0.025,
    "frame_tail": 0.025,
    "frame_head_tail": 0.05,
}


def draw_frame_mask(
    frames: int, probabilities: Mapping[str, float], generator: Generator
) -> Tensor:
    """Draw a mask [frames] bool, True = denoise, of a kind chosen with the probabilities.

    A single frame is always denoised; of fewer than four frames a quarter is one frame. Without
    probabilities all frames are denoised, and nothing is drawn.
    """
    if not probabilities:
        return torch.ones(frames, dtype=torch.bool)
    kind = _draw_kind(probabilities, generator)
    return frame_mask(kind, frames, generator)


def frame_mask(kind: str, frames: int, generator: Generator) -> Tensor:
    """Draw a mask [frames] bool of this kind; a quarter is 1 to frames // 4 frames."""
    mask = torch.ones(frames, dtype=torch.bool)
    if kind == "none" or frames == 1:
        return mask
    size, _, position = kind.partition("_")
    longest = max(1, frames // 4) if size == "quarter" else 1
    count = _randint(1, longest, generator)
    if position == "random":
        first = _randint(0, frames - count, generator)
        mask[first : first + count] = False
    if position.startswith("head"):
        mask[:count] = False
    if position.endswith("tail") and (position == "tail" or frames > 2):  # leave one to denoise
        mask[-count:] = False
    return mask


def _draw_kind(probabilities: Mapping[str, float], generator: Generator) -> str:
    kinds = list(probabilities)
    weights = torch.tensor([probabilities[kind] for kind in kinds], dtype=torch.float64)
    return kinds[int(torch.multinomial(weights, 1, generator=generator))]


def _randint(low: int, high: int, generator: Generator) -> int:
    """Draw uniformly from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def masked_frame_mean(values: Tensor, frame_mask: Tensor | None) -> Tensor:
    """Return the mean [B] of values [B, C, T, H, W] over frames where frame_mask [B, T] is True."""
    if frame_mask is None:
        return values.flatten(1).mean(1)
    weights = frame_mask[:, None, :, None, None].to(values.dtype)
    frames = frame_mask.sum(1).clamp(min=1)
    size = values.shape[1] * values.shape[3] * values.shape[4]
    return (values * weights).flatten(1).sum(1) / (frames * size)
