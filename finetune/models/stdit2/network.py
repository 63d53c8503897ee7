"""STDiT2, the denoiser of Open-Sora 1.1: spatial, temporal and text attention.

Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import torch
from torch import Tensor, nn

from finetune.kernels.ops import Ops
from finetune.models.compile_blocks import compile_blocks
from finetune.models.stdit2.blocks import Block, BlockConditioning, FinalLayer, PatchEmbedder
from finetune.models.stdit2.config import STDiT2Config
from finetune.models.stdit2.embeddings import (
    CaptionEmbedder,
    RotaryEmbedding,
    ScalarEmbedder,
    spatial_position_embedding,
)
from finetune.models.stdit2.init_weights import init_weights
from finetune.models.stdit2.weights import load, save

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["STDiT2", "STDiT2Config"]


class ScalarInputs(NamedTuple):
    """Scalar inputs of the network, [B] float32 each."""

    timestep: Tensor
    num_frames: Tensor
    height: Tensor  # pixels
    width: Tensor
    ar: Tensor  # height / width
    fps: Tensor


class ScalarEmbeddings(NamedTuple):
    """Embeddings of the scalars, [B, D] each."""

    t: Tensor
    t0: Tensor  # of timestep 0, for conditioning frames
    size: Tensor  # height, width, ratio
    length: Tensor  # frames, fps


class STDiT2(nn.Module):
    """Predict noise and variance of a latent video from a timestep, text and five scalars."""

    def __init__(self, config: STDiT2Config | None = None) -> None:
        super().__init__()
        self.config = config = config or STDiT2Config()
        self.ops = Ops()
        width = config.hidden_size
        self.x_embedder = PatchEmbedder(config)
        self.t_embedder = ScalarEmbedder(width)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.t_block_temp = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))
        self.y_embedder = CaptionEmbedder(config.caption_channels, width, config.model_max_length)
        self.rope = RotaryEmbedding(config.head_dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_layer = FinalLayer(config)
        self.csize_embedder = ScalarEmbedder(width // 3)
        self.ar_embedder = ScalarEmbedder(width // 3)
        self.fl_embedder = ScalarEmbedder(width)
        self.fps_embedder = ScalarEmbedder(width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise all weights as the published training did."""
        init_weights(self)
        self.rope.reset_parameters()

    @property
    def dtype(self) -> torch.dtype:
        return self.x_embedder.proj.weight.dtype

    def set_ops(self, ops: Ops) -> Self:
        """Use these operations in all blocks and the final layer."""
        self.ops = ops
        for module in self.modules():
            if isinstance(module, Block | FinalLayer):
                module.ops = ops
        return self

    def compile_blocks(self) -> Self:
        """Compile the blocks, which share one graph for each input shape."""
        compile_blocks(self.blocks)
        return self

    def forward(
        self,
        x: Tensor,
        timestep: Tensor,
        y: Tensor,
        mask: Tensor | None = None,
        x_mask: Tensor | None = None,
        *,
        num_frames: Tensor,
        height: Tensor,
        width: Tensor,
        ar: Tensor,
        fps: Tensor,
        drop: Tensor | None = None,
        activation_checkpointing: int = 0,
    ) -> Tensor:
        """Predict from x [B, C, T, H, W] noise, then variance: [B, 2C, T, H, W] float32.

        timestep, num_frames, height, width (pixels), ar (height / width), fps: [B]. y [B, 1, L,
        caption_channels], mask [B, L], non-zero = a token. x_mask [B, T] bool, False = a
        conditioning frame. drop [B] bool: captions to replace by the null text (None: in training,
        drawn from torch's global generator). activation_checkpointing: number of blocks that keep
        only their inputs for the backward and recompute the rest.
        """
        scalars = self._round_scalars(ScalarInputs(timestep, num_frames, height, width, ar, fps))
        emb = self._embed_scalars(scalars)
        rows, columns = x.shape[-2:]
        h = self.x_embedder(x.to(self.dtype))
        h = h + self._position_embedding(scalars, rows, columns).to(h.dtype)
        frame_mask = FrameMask(x_mask, h.shape[1])
        conditions = BlockConditioning(
            space=frame_mask.modulation(self.t_block, emb.t + emb.size, emb.t0 + emb.size),
            time=frame_mask.modulation(self.t_block_temp, emb.t + emb.length, emb.t0 + emb.length),
            rotation=self.rope(h.shape[1]),
            text=self._text(y, drop),
            text_layout=self.ops.lay_out_text(token_mask(mask, y)),
        )
        for number, block in enumerate(self.blocks):
            h = block(h, conditions, activation_checkpointing=number < activation_checkpointing)
        out = self.final_layer(h, emb.t, emb.t0 + emb.size, x_mask)
        return self.x_embedder.unpatch(out, rows, columns).float()

    def _round_scalars(self, scalars: ScalarInputs) -> ScalarInputs:
        if not self.config.round_scalars:
            return scalars
        return ScalarInputs(*(value.to(self.dtype).float() for value in scalars))

    def _embed_scalars(self, scalars: ScalarInputs) -> ScalarEmbeddings:
        size = self.csize_embedder(torch.stack([scalars.height, scalars.width], dim=1))
        return ScalarEmbeddings(
            t=self.t_embedder(scalars.timestep),
            t0=self.t_embedder(torch.zeros_like(scalars.timestep)),
            size=torch.cat([size, self.ar_embedder(scalars.ar)], dim=1),
            length=self.fl_embedder(scalars.num_frames) + self.fps_embedder(scalars.fps),
        )

    def _position_embedding(self, scalars: ScalarInputs, rows: int, columns: int) -> Tensor:
        """Return the patches' position embedding [S, D] float32, for the batch's first size."""
        config = self.config
        return spatial_position_embedding(
            *self.x_embedder.grid(rows, columns),
            config.hidden_size,
            height=scalars.height[0],
            width_px=scalars.width[0],
            nominal=config.input_sq_size,
        )

    def _text(self, y: Tensor, drop: Tensor | None) -> Tensor:
        y = y.squeeze(1).to(self.dtype)
        if drop is None and self.training and self.config.class_dropout_prob > 0:
            drop = torch.rand(len(y), device=y.device) < self.config.class_dropout_prob
        if drop is not None:
            y = self.y_embedder.token_drop(y, drop)
        text: Tensor = self.y_embedder(y)
        return text

    @classmethod
    def from_pretrained(
        cls,
        source: str | PathLike[str],
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        revision: str | None = None,
        config: STDiT2Config | None = None,
    ) -> Self:
        """Load from a folder, a single-file checkpoint, or a Hub id.

        Raise WeightsError naming missing and unknown keys. `config` overrides config.json.
        """
        return load(cls, source, dtype=dtype, device=device, revision=revision, config=config)

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write `config.json` and `model.safetensors` into the folder."""
        save(self, self.config, Path(folder))


class FrameMask(NamedTuple):
    """Mask of the frames to denoise, [B, T] bool; False marks a conditioning frame."""

    x_mask: Tensor | None
    frames: int

    def modulation(self, block: nn.Module, t: Tensor, t0: Tensor) -> Tensor:
        """Return modulation vectors [B, T, vectors * D]: `block(t0)` for conditioning frames.

        Contiguous with and without a mask, so that both run on one compiled graph.
        """
        table: Tensor = block(t)[:, None].repeat(1, self.frames, 1)
        if self.x_mask is None:
            return table
        return torch.where(self.x_mask[:, :, None], table, block(t0)[:, None]).contiguous()


def token_mask(mask: Tensor | None, y: Tensor) -> Tensor:
    """Return mask as bool [B, L]: all True for None; a mask of fewer samples is repeated."""
    if mask is None:
        return torch.ones(len(y), y.shape[-2], dtype=torch.bool, device=y.device)
    return mask.bool().repeat(len(y) // len(mask), 1)
