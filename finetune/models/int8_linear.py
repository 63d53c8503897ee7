"""Frozen linear layers in int8, with a scale for each row: half the memory of bfloat16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

LARGEST = 127  # of the codes, whose zero is 0


class Int8Linear(nn.Module):
    """A frozen linear layer whose weights [out, in] are int8 codes times a scale for each row.

    Codes are exact in bfloat16, so products are of the layer's input and codes, and are scaled
    after. The backward pass keeps the codes, not a copy of them in the input's precision.
    """

    codes: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach()
        tiny = torch.finfo(torch.bfloat16).tiny
        scale = (weight.abs().amax(1) / LARGEST).clamp_min(tiny)  # in the weights' precision
        codes = (weight.float() / scale.float()[:, None]).round().clamp(-LARGEST, LARGEST)
        self.register_buffer("codes", codes.to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = _Int8Product.apply(x, self.codes, self.scale)  # type: ignore[no-untyped-call]
        return product if self.bias is None else product + self.bias


class _Int8Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(codes, scale)
        return nn.functional.linear(x, codes.to(x.dtype)) * scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        codes, scale = ctx.saved_tensors
        grad = grads[0] * scale
        return grad @ codes.to(grad.dtype), None, None


def quantize_frozen(blocks: Sequence[nn.Module]) -> None:
    """Replace the frozen linear layers of a network's blocks by int8, in place."""
    for parent in [module for block in blocks for module in block.modules()]:
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and not child.weight.requires_grad:
                setattr(parent, name, Int8Linear(child))
