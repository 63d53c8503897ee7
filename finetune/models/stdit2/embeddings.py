"""Embeddings of scalars, text and positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from finetune.kernels.reference import RotaryTable

FREQUENCY_EMBEDDING_SIZE = 256  # half cosines, half sines


def sinusoidal_embedding(values: Tensor, width: int = FREQUENCY_EMBEDDING_SIZE) -> Tensor:
    """Return [N, width] float32 of values [N]: width/2 cosines, then sines (Vaswani, 2017)."""
    half = width // 2
    steps = torch.arange(half, device=values.device, dtype=torch.float32)
    angles = values.float()[:, None] * torch.exp(steps * (-math.log(10000.0) / half))
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def position_sinusoids(positions: Tensor, width: int) -> Tensor:
    """Return [N, width] float32 of positions [N] float64: width/2 sines, then cosines."""
    half = width // 2
    steps = torch.arange(half, device=positions.device, dtype=torch.float64)
    angles = positions[:, None] * torch.pow(10000.0, -steps / half)
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def spatial_position_embedding(
    rows: int, columns: int, width: int, *, height: Tensor, width_px: Tensor, nominal: int
) -> Tensor:
    """Return the position embedding of a grid of patches, [rows * columns, width] float32.

    height, width_px: scalar tensors in pixels, read on the device so that the CPU does not wait for
    the GPU. The first half of the width encodes the column, the second the row; both are scaled so
    that an image of any size spans the range of one of `nominal` x `nominal` pixels.
    """
    scale = (height.double() * width_px.double()).sqrt() / nominal
    base = round(math.sqrt(rows * columns))
    row = torch.arange(rows, device=height.device, dtype=torch.float64) / scale * (base / rows)
    column = torch.arange(columns, device=height.device, dtype=torch.float64)
    column = column / scale * (base / columns)
    columns_code = position_sinusoids(column, width // 2)[None].expand(rows, -1, -1)
    rows_code = position_sinusoids(row, width // 2)[:, None].expand(-1, columns, -1)
    return torch.cat([columns_code, rows_code], dim=-1).reshape(rows * columns, width)


class RotaryEmbedding(nn.Module):
    """Rotary angles of frames (Su et al., 2021), from frequencies stored in the checkpoint.

    `freqs` [head_dim / 2] is stored but not trained; 10000^(-k / len) is its initial value.
    """

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.freqs = nn.Parameter(torch.empty(head_dim // 2), requires_grad=False)

    def reset_parameters(self) -> None:
        steps = torch.arange(len(self.freqs), dtype=torch.float32, device=self.freqs.device)
        with torch.no_grad():
            self.freqs.copy_(torch.pow(10000.0, -steps / len(self.freqs)))

    def forward(self, frames: int) -> RotaryTable:
        positions = torch.arange(frames, device=self.freqs.device, dtype=torch.float32)
        angles = positions[:, None] * self.freqs.float()
        return RotaryTable(angles.cos(), angles.sin())


class ScalarEmbedder(nn.Module):
    """Embed scalars [B] or [B, n] as [B, n * width]: sinusoids, Linear, SiLU, Linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(FREQUENCY_EMBEDDING_SIZE, width),
            nn.SiLU(),
            nn.Linear(width, width),
        )

    def forward(self, values: Tensor) -> Tensor:
        dtype = next(self.mlp.parameters()).dtype
        return self.mlp(sinusoidal_embedding(values.flatten()).to(dtype)).view(len(values), -1)


class Mlp(nn.Module):
    """Linear (fc1), GELU (tanh), Linear (fc2)."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class CaptionEmbedder(nn.Module):
    """Project text states [B, L, caption_channels] to [B, L, width].

    The buffer `y_embedding` [L, caption_channels] is the null text of classifier-free guidance.
    """

    y_embedding: Tensor

    def __init__(self, caption_channels: int, width: int, tokens: int) -> None:
        super().__init__()
        self.y_proj = Mlp(caption_channels, width, width)
        self.register_buffer("y_embedding", torch.empty(tokens, caption_channels))

    def token_drop(self, y: Tensor, drop: Tensor) -> Tensor:
        """Replace y by the null text where drop [B] is True."""
        null = self.y_embedding[: y.shape[1]].to(y.dtype)
        return torch.where(drop[:, None, None], null, y)

    def forward(self, y: Tensor) -> Tensor:
        return self.y_proj(y)
