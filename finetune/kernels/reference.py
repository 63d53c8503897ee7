"""A block's operations in plain PyTorch: the reference that every fused kernel is tested against.

Shapes: B clips, T frames, S patches per frame, width D; H heads of size d; N = B * T. Modulation is
a table [B, T, D] with one row per frame, so conditioning frames need no second pass.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-6  # of layer norm and RMS norm


class RotaryTable(NamedTuple):
    """Cosines and sines of the rotary angles, each [T, head_dim / 2] in float32."""

    cos: Tensor
    sin: Tensor


def norm_modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return LN(x) * (1 + scale) + shift; x [B, T, S, D], shift and scale [B, T, D]."""
    normed = F.layer_norm(x, x.shape[-1:], eps=EPS)
    return normed * (1 + scale[:, :, None]) + shift[:, :, None]


def gated_add(x: Tensor, branch: Tensor, gate: Tensor) -> Tensor:
    """Return x + gate * branch; x, branch [B, T, S, D], gate [B, T, D]."""
    return x + gate[:, :, None] * branch


def gated_add_norm_modulate(
    x: Tensor, branch: Tensor, gate: Tensor, shift: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the new residual x + gate * branch, and its `norm_modulate`."""
    x = gated_add(x, branch, gate)
    return x, norm_modulate(x, shift, scale)


def add_norm_modulate(
    x: Tensor, branch: Tensor, shift: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the new residual x + branch, and its `norm_modulate`."""
    x = x + branch
    return x, norm_modulate(x, shift, scale)


def rms_norm(x: Tensor, weight: Tensor | None) -> Tensor:
    """Return the RMS norm over the last dimension, computed in float32, times `weight`.

    Without a weight, return x unchanged.
    """
    if weight is None:
        return x
    x32 = x.float()
    normed = x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + EPS)
    return normed.to(x.dtype) * weight


def apply_rotary(x: Tensor, rotation: RotaryTable) -> Tensor:
    """Rotate interleaved pairs of x [..., T, d] by angles [T, d / 2], in float32."""
    even, odd = x.float().view(*x.shape[:-1], -1, 2).unbind(-1)
    rotated = torch.stack(
        [
            even * rotation.cos - odd * rotation.sin,
            odd * rotation.cos + even * rotation.sin,
        ],
        dim=-1,
    )
    return rotated.flatten(-2).to(x.dtype)


def spatial_attention(qkv: Tensor, q_weight: Tensor | None, k_weight: Tensor | None) -> Tensor:
    """Attend within each frame: qkv [N, S, 3, H, d] -> [N, S, H * d]; q and k are RMS-normed."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(rms_norm(q, q_weight), rms_norm(k, k_weight), v)
    return out.transpose(1, 2).flatten(2)


def temporal_attention(
    qkv: Tensor, q_weight: Tensor | None, k_weight: Tensor | None, rotation: RotaryTable
) -> Tensor:
    """Attend over frames at each patch: qkv [B, T, S, 3, H, d] -> [B, T, S, H * d].

    q and k are rotated first, then normed: the published weights depend on that order.
    """
    q, k, v = qkv.permute(3, 0, 2, 4, 1, 5)  # [B, S, H, T, d]
    q = rms_norm(apply_rotary(q, rotation), q_weight)
    k = rms_norm(apply_rotary(k, rotation), k_weight)
    out = F.scaled_dot_product_attention(q, k, v)
    return out.permute(0, 3, 1, 2, 4).flatten(3)


def lay_out_text(mask: Tensor) -> Tensor:
    """Prepare the mask [B, L] for `text_attention`, once for all blocks."""
    return mask


def text_attention(q: Tensor, kv: Tensor, mask: Tensor) -> Tensor:
    """Attend from each clip to its own text: q [B, M, H, d], kv [B, L, 2, H, d] -> [B, M, H * d].

    mask [B, L] bool, True = a token; any pattern. A clip without tokens gets zeros.
    """
    k, v = kv.permute(2, 0, 3, 1, 4)
    allowed = mask[:, None, None]
    without_text = ~mask.any(dim=1)
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), k, v, attn_mask=allowed | without_text[:, None, None, None]
    )
    out = out.masked_fill(without_text[:, None, None, None], 0)
    return out.transpose(1, 2).flatten(2)
