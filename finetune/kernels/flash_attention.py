"""FlashAttention-4 (`flash-attn-4`, extra `flash`) as operations that compile and that can be kept.

The package's own functions break a compiled graph, and what they compute is unknown to activation
checkpointing. PyTorch 2.11 and 2.13 can put the package behind their own flash attention, but
expect two results of a function that returns five in its version 4.0.0b36.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import torch
from torch import Tensor

PACKAGE = "flash_attn.cute"
HOPPER = 9  # major compute capability; on Blackwell, which has kernels too, it was not run
HEAD_DIM = 128  # of all sizes of Wan; other widths were not run


def flash_available(capability: int, head_dim: int) -> bool:
    """Return True if the package is installed and was tested on such a GPU and head's width."""
    if capability != HOPPER or head_dim != HEAD_DIM:
        return False
    try:
        return importlib.util.find_spec(PACKAGE) is not None
    except ModuleNotFoundError:  # of its parent
        return False


def flash_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend q [B, N, heads, D] to k and v [B, M, heads, D]; return [B, N, heads, D].

    On CUDA, in bfloat16 or float16.
    """
    out: Tensor = _attention(q, k, v)[0]
    return out


def _interface() -> Any:
    return importlib.import_module(f"{PACKAGE}.interface")


def _run_forward(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    out, log_sum, *_ = _interface()._flash_attn_fwd(q, k, v, return_lse=True)
    return out, log_sum


def _run_backward(
    d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, log_sum: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d_q, d_k, d_v, *_ = _interface()._flash_attn_bwd(q, k, v, out, d_out.contiguous(), log_sum)
    return d_q, d_k, d_v


_attention = torch.library.custom_op(
    "finetune::flash_attention",
    _run_forward,
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v) -> (Tensor, Tensor)",
)
_attention_backward = torch.library.custom_op(
    "finetune::flash_attention_backward",
    _run_backward,
    mutates_args=(),
    schema="(Tensor d_out, Tensor q, Tensor k, Tensor v, Tensor out, Tensor log_sum)"
    " -> (Tensor, Tensor, Tensor)",
)


@torch.library.register_fake("finetune::flash_attention")
def _(q: Tensor, _k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    batch, queries, heads, _ = q.shape
    log_sum = q.new_empty((batch, heads, queries), dtype=torch.float32)
    return q.new_empty((batch, queries, heads, v.shape[-1])), log_sum


@torch.library.register_fake("finetune::flash_attention_backward")
def _(_d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, *_rest: Tensor) -> tuple[Tensor, ...]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)


def _backward(ctx: Any, d_out: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    d_q, d_k, d_v = _attention_backward(d_out, *ctx.saved_tensors)
    return d_q, d_k, d_v


_attention.register_autograd(_backward, setup_context=_setup_context)
