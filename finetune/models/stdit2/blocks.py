"""Modules of STDiT2: patch embedder, blocks, final layer.

The inner operations come from `Ops`: the same block runs in plain PyTorch or on `finetune.kernels`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from finetune.kernels.ops import Ops
from finetune.kernels.reference import RotaryTable
from finetune.models.stdit2.config import STDiT2Config
from finetune.models.stdit2.embeddings import Mlp


class BlockConditioning(NamedTuple):
    """Inputs that all blocks share."""

    space: Tensor  # [B, T, 6 * D]: shift, scale, gate of the spatial attention, then of the MLP
    time: Tensor  # [B, T, 3 * D]: shift, scale, gate of the temporal attention
    rotation: RotaryTable
    text: Tensor  # [B, L, D]
    text_layout: Any  # `Ops.lay_out_text` of the mask [B, L]


class RMSNorm(nn.Module):
    """Hold the weight of an RMS norm; the attention operation computes it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))


class SelfAttention(nn.Module):
    """Projections around a spatial or temporal attention."""

    def __init__(self, width: int, heads: int, *, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.q_norm = RMSNorm(width // heads) if qk_norm else None
        self.k_norm = RMSNorm(width // heads) if qk_norm else None

    def split(self, x: Tensor) -> Tensor:
        """Project x [..., D] to q, k and v: [..., 3, H, d]."""
        return self.qkv(x).view(*x.shape[:-1], 3, self.heads, -1)

    @property
    def weights(self) -> tuple[Tensor | None, Tensor | None]:
        if self.q_norm is None or self.k_norm is None:
            return None, None
        return self.q_norm.weight, self.k_norm.weight


class CrossAttention(nn.Module):
    """Projections around the attention to the text."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_linear = nn.Linear(width, width)
        self.kv_linear = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)


class Block(nn.Module):
    """Spatial, temporal and text attention, then MLP; compiles to one graph that blocks share."""

    def __init__(self, config: STDiT2Config) -> None:
        super().__init__()
        width, heads = config.hidden_size, config.num_heads
        self.ops = Ops()
        self.scale_shift_table = nn.Parameter(torch.empty(6, width))
        self.scale_shift_table_temporal = nn.Parameter(torch.empty(3, width))
        self.attn = SelfAttention(width, heads, qk_norm=config.qk_norm)
        self.attn_temp = SelfAttention(width, heads, qk_norm=config.qk_norm)
        self.cross_attn = CrossAttention(width, heads)
        self.mlp = Mlp(width, int(width * config.mlp_ratio), width)

    def forward(
        self, x: Tensor, conditions: BlockConditioning, *, activation_checkpointing: bool = False
    ) -> Tensor:
        """Map x [B, T, S, D] to the same shape; checkpointing keeps only x for the backward."""
        if activation_checkpointing:
            out: Tensor = checkpoint(self._forward, x, conditions, use_reentrant=False)
            return out
        return self._forward(x, conditions)

    def _forward(self, x: Tensor, conditions: BlockConditioning) -> Tensor:
        ops = self.ops
        space = modulation_vectors(self.scale_shift_table, conditions.space)
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = space
        shift_t, scale_t, gate_t = modulation_vectors(
            self.scale_shift_table_temporal, conditions.time
        )

        branch = self._spatial_attention(ops.norm_modulate(x, shift, scale))
        x, h = ops.gated_add_norm_modulate(x, branch, gate, shift_t, scale_t)
        x = ops.gated_add(x, self._temporal_attention(h, conditions.rotation), gate_t)
        branch = self._cross_attention(x, conditions.text, conditions.text_layout)
        x, h = ops.add_norm_modulate(x, branch, shift_mlp, scale_mlp)
        return ops.gated_add(x, self.mlp(h), gate_mlp)

    def _spatial_attention(self, h: Tensor) -> Tensor:
        attn = self.attn
        out = self.ops.spatial_attention(attn.split(h.flatten(0, 1)), *attn.weights)
        return attn.proj(out).view_as(h)

    def _temporal_attention(self, h: Tensor, rotation: RotaryTable) -> Tensor:
        attn = self.attn_temp
        return attn.proj(self.ops.temporal_attention(attn.split(h), *attn.weights, rotation))

    def _cross_attention(self, x: Tensor, text: Tensor, layout: Any) -> Tensor:
        attn = self.cross_attn
        q = attn.q_linear(x).view(len(x), -1, attn.heads, x.shape[-1] // attn.heads)
        kv = attn.kv_linear(text).view(*text.shape[:2], 2, *q.shape[2:])
        return attn.proj(self.ops.text_attention(q, kv, layout)).view_as(x)


def modulation_vectors(table: Tensor, embedded: Tensor) -> tuple[Tensor, ...]:
    """Add a block's table [n, D] to embeddings [B, T, n * D]: n tensors [B, T, D]."""
    return (table.flatten() + embedded).chunk(len(table), dim=-1)


class FinalLayer(nn.Module):
    """Norm, modulation, and the linear map from tokens to patches."""

    def __init__(self, config: STDiT2Config) -> None:
        super().__init__()
        rows, columns = config.patch_size[1:]
        self.scale_shift_table = nn.Parameter(torch.empty(2, config.hidden_size))
        self.linear = nn.Linear(config.hidden_size, rows * columns * config.out_channels)
        self.ops = Ops()

    def forward(self, x: Tensor, t: Tensor, t0: Tensor, x_mask: Tensor | None) -> Tensor:
        """Map x [B, T, S, D] to patches [B, T, S, patch * out].

        t [B, D] is the timestep's embedding, t0 [B, D] that of timestep 0 plus the size's.
        Conditioning frames are normed and modulated twice, as the published training did.
        """
        z = self._modulated(x, t)
        if x_mask is not None:
            z = torch.where(x_mask[:, :, None, None], z, self._modulated(z, t0))
        return self.linear(z)

    def _modulated(self, x: Tensor, t: Tensor) -> Tensor:
        embedded = t[:, None].repeat(1, x.shape[1], 2)
        return self.ops.norm_modulate(x, *modulation_vectors(self.scale_shift_table, embedded))


class PatchEmbedder(nn.Module):
    """Convert patches to tokens, and back."""

    def __init__(self, config: STDiT2Config) -> None:
        super().__init__()
        self.patch = config.patch_size
        self.proj = nn.Conv3d(
            config.in_channels, config.hidden_size, kernel_size=self.patch, stride=self.patch
        )

    def grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the numbers of patches down and across a latent, padding included."""
        return -(-rows // self.patch[1]), -(-columns // self.patch[2])

    def forward(self, x: Tensor) -> Tensor:
        """Embed x [B, C, T, H, W], zero-padded right and below, as tokens [B, T, S, D].

        Computed as a linear map, whose output is contiguous: a convolution's is transposed, which
        slows down every later operation.
        """
        down, across = self.grid(*x.shape[-2:])
        rows, columns = self.patch[1:]
        x = F.pad(x, (0, across * columns - x.shape[-1], 0, down * rows - x.shape[-2]))
        x = x.view(*x.shape[:3], down, rows, across, columns)
        patches = x.permute(0, 2, 3, 5, 1, 4, 6).flatten(4)  # [B, T, down, across, (C, row, col)]
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias).flatten(2, 3)

    def unpatch(self, tokens: Tensor, rows: int, columns: int) -> Tensor:
        """Arrange tokens [B, T, S, (row, column, channel)] as [B, channels, T, rows, columns]."""
        down, across = self.grid(rows, columns)
        batch, frames, channels = *tokens.shape[:2], tokens.shape[-1] // math.prod(self.patch)
        x = tokens.view(batch, frames, down, across, *self.patch[1:], channels)
        x = x.permute(0, 6, 1, 2, 4, 3, 5)  # [B, channel, T, down, row, across, column]
        return x.flatten(5).flatten(3, 4)[..., :rows, :columns]
