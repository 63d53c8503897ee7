"""What a network holds before anything taught it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from finetune.models.stdit2.blocks import Block

if TYPE_CHECKING:
    from finetune.models.stdit2.network import STDiT2

EMBEDDER_STD = (
    0.02  # of the embedders' weights, as diffusion transformers do (Peebles and Xie, 2023)
)


def init_weights(model: STDiT2) -> None:
    """Xavier for linear maps, narrow normal for embedders; text and time projections closed."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv3d):
                nn.init.xavier_uniform_(module.weight.view(module.weight.shape[0], -1))
                nn.init.zeros_(_bias(module))
        _init_embedders(model)
        _init_modulation_tables(model)
        _zero_init_outputs(model)
    model.rope.reset_parameters()


def _init_embedders(model: STDiT2) -> None:
    for part in (
        model.t_embedder,
        model.t_block,
        model.t_block_temp,
        model.csize_embedder,
        model.ar_embedder,
        model.fl_embedder,
        model.fps_embedder,
        model.y_embedder.y_proj,
    ):
        for module in part.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=EMBEDDER_STD)


def _init_modulation_tables(model: STDiT2) -> None:
    width: float = model.config.hidden_size
    for name, parameter in model.named_parameters():
        if "scale_shift_table" in name:
            nn.init.normal_(parameter, std=width**-0.5)
    tokens = model.y_embedder.y_embedding
    nn.init.normal_(tokens, std=tokens.shape[1] ** -0.5)


def _zero_init_outputs(model: STDiT2) -> None:
    """Branches that begin as nothing, and an output that begins as zero."""
    for block in model.modules():
        if isinstance(block, Block):
            nn.init.zeros_(block.cross_attn.proj.weight)
            nn.init.zeros_(block.attn_temp.proj.weight)
    nn.init.zeros_(model.final_layer.linear.weight)


def _bias(module: nn.Linear | nn.Conv3d) -> torch.Tensor:
    assert module.bias is not None
    return module.bias
