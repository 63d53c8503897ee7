"""Choose the fastest attention of a GPU for networks of diffusers' classes.

Measured on one H200, bfloat16, 12 heads x 32,760 tokens x 128 (2026-11-30): FlashAttention-4 691
TFLOP/s forward and 620 backward, cuDNN 570 and 525, FlashAttention-2 356 and 309. Away from Hopper
cuDNN was slower than PyTorch's choice on A100 and Blackwell workstation GPUs, and level on L40S
(huggingface/transformers pull request 48163, 2026-08-20).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import nn

log = logging.getLogger(__name__)

HOPPER = 9  # compute capability
FLASH_4_CAPABILITIES = (9, 10)  # that FlashAttention-4 has kernels for


def use_fast_attention(network: nn.Module, device: torch.device, masked: Sequence[str]) -> None:
    """Set the attention of a network of diffusers that runs in 16 bits on a CUDA device.

    masked: names of the attentions that are given a mask, which flash attention does not take.
    """
    capability = torch.cuda.get_device_capability(device)[0]
    parts: dict[str, Any] = dict(network.named_modules())
    parts[""].set_attention_backend(attention_backend(capability))
    for name, part in parts.items():
        if name.rpartition(".")[2] in masked:
            part.set_attention_backend(masked_backend(capability))


def attention_backend(capability: int) -> str:
    """Return diffusers' name of the fastest attention of a major compute capability."""
    if capability in FLASH_4_CAPABILITIES and _activate_flash_4():
        return "_native_flash"
    return masked_backend(capability)


def masked_backend(capability: int) -> str:
    """Return the same for attention with a mask."""
    return "_native_cudnn" if capability == HOPPER else "native"


@cache
def _activate_flash_4() -> bool:
    """Make FlashAttention-4 PyTorch's flash attention, where it is installed (extra `flash`)."""
    try:
        from torch.nn.attention import activate_flash_attention_impl

        activate_flash_attention_impl("FA4")
    except (ImportError, RuntimeError, ValueError) as error:
        log.info("attention by cuDNN or PyTorch: FlashAttention-4 is not usable (%s)", error)
        return False
    return True
