"""Initial weights of an STDiT2, as in the published training."""

from __future__ import annotations

import torch
from torch import nn

from finetune.models.stdit2.blocks import Block

EMBEDDERS = (
    "t_embedder",
    "t_block",
    "t_block_temp",
    "csize_embedder",
    "ar_embedder",
    "fl_embedder",
    "fps_embedder",
    "y_embedder.y_proj",
)
EMBEDDER_STD = 0.02  # as in DiT (Peebles and Xie, 2023)


def init_weights(model: nn.Module) -> None:
    """Initialise an STDiT2: Xavier for linear maps, narrow normal for embedders.

    Output projections of the temporal and text attentions, and of the network, start at zero.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv3d):
                nn.init.xavier_uniform_(module.weight.view(module.weight.shape[0], -1))
                nn.init.zeros_(_bias(module))
        _init_embedders(model)
        _init_modulation_tables(model)
        _zero_init_outputs(model)


def _init_embedders(model: nn.Module) -> None:
    for name in EMBEDDERS:
        for module in model.get_submodule(name).modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=EMBEDDER_STD)


def _init_modulation_tables(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if "scale_shift_table" in name:
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    null_text = model.get_buffer("y_embedder.y_embedding")
    nn.init.normal_(null_text, std=null_text.shape[1] ** -0.5)


def _zero_init_outputs(model: nn.Module) -> None:
    for block in model.modules():
        if isinstance(block, Block):
            nn.init.zeros_(block.cross_attn.proj.weight)
            nn.init.zeros_(block.attn_temp.proj.weight)
    nn.init.zeros_(model.get_parameter("final_layer.linear.weight"))


def _bias(module: nn.Linear | nn.Conv3d) -> torch.Tensor:
    assert module.bias is not None
    return module.bias
