"""PyTorch's variable-length attention, as it answers on a GPU, for machines without one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class _Unwritten(torch.autograd.Function):
    """The gradient of rows past the last sequence is whatever the memory held."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, count: int) -> Tensor:
        ctx.count = count
        return rows.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rubbish = gradient.clone()
        rubbish[ctx.count :] = float("nan")
        return rubbish, None


def on_cpu(
    q: Tensor, k: Tensor, v: Tensor, q_starts: Tensor, k_starts: Tensor, _max_q: int, _max_k: int
) -> Tensor:
    """q [queries, H, d], k and v [rows, H, d], starts [sequences + 1] -> [queries, H, d]."""
    count = int(k_starts[-1])
    k, v = _Unwritten.apply(k, count), _Unwritten.apply(v, count)
    parts = []
    for i in range(len(q_starts) - 1):
        queries, keys = slice(q_starts[i], q_starts[i + 1]), slice(k_starts[i], k_starts[i + 1])
        one = (part.transpose(0, 1) for part in (q[queries], k[keys], v[keys]))
        parts.append(F.scaled_dot_product_attention(*one).transpose(0, 1))
    return torch.cat(parts)
