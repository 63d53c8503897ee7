"""Choose the fastest attention of a GPU for networks of diffusers' classes.

Measured on one H200, bfloat16, 12 heads x 32,760 tokens x 128 (2026-11-30): FlashAttention-4 691
TFLOP/s forward and 620 backward, cuDNN 570 and 525, FlashAttention-2 356 and 309. Away from Hopper
cuDNN was slower than PyTorch's choice on A100 and Blackwell workstation GPUs, and level on L40S
(huggingface/transformers pull request 48163, 2026-08-20).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from finetune.kernels.flash_attention import HOPPER


def compute_capability(device: torch.device, dtype: torch.dtype) -> int:
    """Return the major compute capability of a CUDA device; 0 for others and for float32."""
    if device.type != "cuda" or dtype == torch.float32:
        return 0
    return torch.cuda.get_device_capability(device)[0]


def use_fast_attention(network: nn.Module, capability: int) -> None:
    """Choose cuDNN's attention for a network of diffusers on Hopper, PyTorch's choice elsewhere."""
    if capability == HOPPER:
        wanted: Any = network
        wanted.set_attention_backend("_native_cudnn")
