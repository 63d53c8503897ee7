"""Frozen linear layers in a byte a weight, with a scale for each row: int8, or float8 (e4m3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

LARGEST = 127  # of the codes of int8, whose zero is 0
FP8 = torch.float8_e4m3fn
FP8_LARGEST = torch.finfo(FP8).max  # 448
FP8_CAPABILITY = (9, 0)
"""Least GPU whose float8 products are used; torch has them for 8.9 (Ada) too, not run here."""
FP8_MULTIPLE = 16  # of a layer's widths, by cuBLAS and CUTLASS
TINY = torch.finfo(torch.bfloat16).tiny


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
        scale = (weight.abs().amax(1) / LARGEST).clamp_min(TINY)  # in the weights' precision
        codes = (weight.float() / scale.float()[:, None]).round().clamp(-LARGEST, LARGEST)
        self.register_buffer("codes", codes.to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = _int8_product(x, self.codes, self.scale)
        return product if self.bias is None else product + self.bias


class Fp8Linear(nn.Module):
    """A frozen linear layer that multiplies in float8, with float32 sums.

    Weights, inputs and the gradients of outputs have a scale for each row, which in the last two is
    chosen anew each time. Rounding is 2.5 % of a number on average: see docs/finetune-wan.md.
    """

    codes: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        codes, scale = to_float8(linear.weight.detach())
        self.register_buffer("codes", codes.view(torch.uint8))  # not to be cast with the network
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = _Fp8Product.apply(x, self.codes.view(FP8), self.scale)  # type: ignore[no-untyped-call]
        return product if self.bias is None else product + self.bias


KINDS: dict[str, type[Int8Linear | Fp8Linear]] = {"int8": Int8Linear, "fp8": Fp8Linear}


def quantize_frozen(blocks: Sequence[nn.Module], kind: str) -> None:
    """Replace the frozen linear layers of a network's blocks by a kind of `KINDS`, in place.

    fp8 leaves layers as they are whose widths are no multiple of 16.
    """
    for parent in [module for block in blocks for module in block.modules()]:
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and not child.weight.requires_grad:
                odd = any(width % FP8_MULTIPLE for width in child.weight.shape)
                if not (odd and kind == "fp8"):
                    setattr(parent, name, KINDS[kind](child))


def to_float8(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes [N, K] and scales [N] of a matrix: row n is nearly codes[n] * scales[n]."""
    scale = (x.abs().amax(1) / FP8_LARGEST).clamp_min(TINY)  # in the matrix's precision
    # a scale that was rounded down would give codes above the largest, which are NaN
    codes = (x.float() / scale.float()[:, None]).clamp(-FP8_LARGEST, FP8_LARGEST)
    return codes.to(FP8), scale


def float8_product(x: Tensor, codes: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Return x [N, K] times codes [M, K] transposed and scale [M], as [N, M].

    In float8 on GPUs that have such products, else in float32 of the same rounded numbers.
    """
    rows, row_scale = to_float8(x)
    scale, row_scale = scale.float(), row_scale.float()
    if x.device.type != "cuda" or not has_float8_products():
        return (rows.float() @ codes.float().T * row_scale[:, None] * scale).to(dtype)
    return torch._scaled_mm(
        rows,
        codes.T,
        scale_a=row_scale[:, None],
        scale_b=scale[None, :],
        out_dtype=torch.bfloat16,
        use_fast_accum=True,
    ).to(dtype)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def has_float8_products() -> bool:
    """Tell if this process's GPU has products of float8 with a scale for each row."""
    return torch.cuda.get_device_capability() >= FP8_CAPABILITY


# An operation that the compiler takes as a whole: from its parts torch 2.13 made a kernel for CPUs
# that crashed, and torch 2.11 had not compiled 14B for a GPU after two minutes.
@torch.library.custom_op("finetune::int8_product", mutates_args=())
def _int8_product(x: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
    return nn.functional.linear(x, codes.to(x.dtype)) * scale


@torch.library.custom_op("finetune::int8_product_backward", mutates_args=())
def _int8_backward(grad: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
    return (grad * scale) @ codes.to(grad.dtype)


@_int8_product.register_fake
def _(x: Tensor, codes: Tensor, _scale: Tensor) -> Tensor:
    return x.new_empty((*x.shape[:-1], codes.shape[0]))


@_int8_backward.register_fake
def _(grad: Tensor, codes: Tensor, _scale: Tensor) -> Tensor:
    return grad.new_empty((*grad.shape[:-1], codes.shape[1]))


def _keep_codes(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1:])


def _int8_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    return _int8_backward(grad, *ctx.saved_tensors), None, None


_int8_product.register_autograd(_int8_gradient, setup_context=_keep_codes)


class _Fp8Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(codes, scale)
        product = float8_product(x.flatten(0, -2), codes, scale, x.dtype)
        return product.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the input: a row's scale goes into the gradient before rounding.

        The codes are transposed each time, at a fiftieth of the product's time, not kept twice.
        """
        codes, scale = ctx.saved_tensors
        grad = (grads[0] * scale).flatten(0, -2)
        across = codes.T.contiguous()  # [in, out]
        ones = torch.ones(len(across), device=codes.device)
        product = float8_product(grad, across, ones, grads[0].dtype)
        return product.view(*grads[0].shape[:-1], -1), None, None
