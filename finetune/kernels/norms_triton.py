"""Triton kernels of `norms`: gate, residual, layer norm and modulation in one pass each way.

x, branch [B, T, S, D]; gate, shift, scale [B, T, D], one row per frame; arithmetic is in float32.
In backward a program processes several rows of one frame, prefetching the next ones, and writes one
partial sum of the tables' gradients: no tensor of x's size is read twice.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from finetune.kernels.reference import EPS

NUM_PROGRAMS = 1056  # in backward: eight for each of an H200's 132 multiprocessors
NUM_WARPS = 2  # rows are short, and a reduction across more warps waits longer
NUM_STAGES = 3  # rows being prefetched in backward


@triton.jit
def _norm_forward(
    x,
    branch,
    gate,
    shift,
    scale,
    added,
    normed,
    S,
    gate_stride,
    shift_stride,
    scale_stride,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    EPS: tl.constexpr,
    BRANCH: tl.constexpr,
    GATE: tl.constexpr,
    NORM: tl.constexpr,
):
    """Process one row: x + gate * branch, then its modulated norm."""
    row = tl.program_id(0).to(tl.int64)
    frame = row // S
    column = tl.arange(0, BLOCK)
    inside = column < D
    value = tl.load(x + row * D + column, mask=inside, other=0).to(tl.float32)
    if BRANCH:
        branch_row = tl.load(branch + row * D + column, mask=inside, other=0).to(tl.float32)
        if GATE:
            gate_row = tl.load(gate + frame * gate_stride + column, mask=inside, other=0)
            branch_row = branch_row * gate_row.to(tl.float32)
        rounded = (value + branch_row).to(added.dtype.element_ty)
        tl.store(added + row * D + column, rounded, mask=inside)
        value = rounded.to(tl.float32)
    if NORM:
        centred = tl.where(inside, value - tl.sum(value) / D, 0)
        unit = centred * tl.rsqrt(tl.sum(centred * centred) / D + EPS)
        scale_row = tl.load(scale + frame * scale_stride + column, mask=inside, other=0)
        shift_row = tl.load(shift + frame * shift_stride + column, mask=inside, other=0)
        out = unit * (1 + scale_row.to(tl.float32)) + shift_row.to(tl.float32)
        tl.store(normed + row * D + column, out.to(normed.dtype.element_ty), mask=inside)


@triton.jit
def _norm_backward(
    d_normed,
    d_added,
    added,
    branch,
    gate,
    scale,
    d_x,
    d_branch,
    partial,
    S,
    gate_stride,
    scale_stride,
    ROWS: tl.constexpr,
    NUM_STAGES: tl.constexpr,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    EPS: tl.constexpr,
    BRANCH: tl.constexpr,
    GATE: tl.constexpr,
    NORM: tl.constexpr,
):
    """Process rows of one frame: gradients of x and branch, partial sums of the tables'."""
    frame = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < D
    if GATE:
        gate_row = tl.load(gate + frame * gate_stride + column, mask=inside, other=0)
        gate_row = gate_row.to(tl.float32)
    if NORM:
        scale_row = tl.load(scale + frame * scale_stride + column, mask=inside, other=0)
        scale_row = scale_row.to(tl.float32) + 1
    gate_sum = tl.zeros([BLOCK], tl.float32)
    shift_sum = tl.zeros([BLOCK], tl.float32)
    scale_sum = tl.zeros([BLOCK], tl.float32)
    for step in tl.range(0, ROWS, num_stages=NUM_STAGES):
        row = tl.program_id(1) * ROWS + step
        offset = (frame * S + row) * D + column
        valid = inside & (row < S)
        if NORM:
            d_out = tl.load(d_normed + offset, mask=valid, other=0).to(tl.float32)
            value = tl.load(added + offset, mask=valid, other=0).to(tl.float32)
            centred = tl.where(inside, value - tl.sum(value) / D, 0)
            inv_std = tl.rsqrt(tl.sum(centred * centred) / D + EPS)
            unit = centred * inv_std
            shift_sum += d_out
            scale_sum += d_out * unit
            d_unit = d_out * scale_row
            unit_dot = tl.sum(d_unit * unit) / D
            gradient = inv_std * (d_unit - tl.sum(d_unit) / D - unit * unit_dot)
            if BRANCH:
                gradient += tl.load(d_added + offset, mask=valid, other=0).to(tl.float32)
            tl.store(d_x + offset, gradient.to(d_x.dtype.element_ty), mask=valid)
        else:
            gradient = tl.load(d_added + offset, mask=valid, other=0).to(tl.float32)
        if GATE:
            branch_row = tl.load(branch + offset, mask=valid, other=0).to(tl.float32)
            gate_sum += gradient * branch_row
            branch_grad = gradient * gate_row
            tl.store(d_branch + offset, branch_grad.to(d_branch.dtype.element_ty), mask=valid)
    partial_row = (
        partial + (frame * tl.num_programs(1) + tl.program_id(1)) * (GATE + 2 * NORM) * D + column
    )
    if GATE:
        tl.store(partial_row, gate_sum, mask=inside)
    if NORM:
        tl.store(partial_row + GATE * D, shift_sum, mask=inside)
        tl.store(partial_row + (GATE + 1) * D, scale_sum, mask=inside)


def _flat(table: Tensor) -> Tensor:
    """Return a table [B, T, D] whose frames are evenly spaced in memory, copied only if needed."""
    is_even = table.stride(0) == table.shape[1] * table.stride(1) or table.shape[0] == 1
    return table if is_even and table.stride(2) == 1 else table.contiguous()


def forward(
    x: Tensor,
    branch: Tensor | None,
    gate: Tensor | None,
    shift: Tensor | None,
    scale: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return the new residual (x without a branch) and its modulated norm (x without a table)."""
    x = x.contiguous()
    added = x if branch is None else torch.empty_like(x)
    normed = x if shift is None else torch.empty_like(x)
    tables = [x if table is None else _flat(table) for table in (gate, shift, scale)]
    _norm_forward[(x.numel() // x.shape[-1],)](
        x,
        x if branch is None else branch.contiguous(),
        *tables,
        added,
        normed,
        x.shape[2],
        *(table.stride(1) for table in tables),
        D=x.shape[-1],
        BLOCK=triton.next_power_of_2(x.shape[-1]),
        EPS=EPS,
        BRANCH=branch is not None,
        GATE=gate is not None,
        NORM=shift is not None,
        num_warps=NUM_WARPS,
    )
    return added, normed


def backward(
    d_normed: Tensor | None,
    d_added: Tensor | None,
    added: Tensor,
    branch: Tensor | None,
    gate: Tensor | None,
    scale: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients of x, of branch, and of the given tables among (gate, shift, scale).

    The tables' gradients are stacked in that order, [B, T, 1 to 3, D] float32.
    """
    added = added.contiguous()
    batch, frames, patches, width = added.shape
    chunks = min(patches, -(-NUM_PROGRAMS // (batch * frames)))
    d_x = torch.empty_like(added) if scale is not None else added
    d_branch = torch.empty_like(added) if gate is not None else added
    table_count = (gate is not None) + 2 * (scale is not None)
    partial = added.new_empty((batch, frames, chunks, table_count, width), dtype=torch.float32)
    gradients = [added if t is None else t.contiguous() for t in (d_normed, d_added)]
    tables = [added if table is None else _flat(table) for table in (gate, scale)]
    _norm_backward[(batch * frames, chunks)](
        *gradients,
        added,
        added if branch is None else branch.contiguous(),
        *tables,
        d_x,
        d_branch,
        partial,
        patches,
        *(table.stride(1) for table in tables),
        ROWS=-(-patches // chunks),
        NUM_STAGES=NUM_STAGES,
        D=width,
        BLOCK=triton.next_power_of_2(width),
        EPS=EPS,
        BRANCH=d_added is not None,
        GATE=gate is not None,
        NORM=scale is not None,
        num_warps=NUM_WARPS,
    )
    return d_x, d_branch, partial.sum(2)
