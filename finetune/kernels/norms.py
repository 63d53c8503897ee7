"""Fuse gate, residual, layer norm and modulation: four replacements for `reference`'s operations.

Forward and backward are custom ops, opaque to `torch.compile`, so a block stays one graph.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from finetune.kernels import norms_triton as kernels

norm_modulate = torch.library.custom_op(
    "finetune::norm_modulate",
    lambda x, shift, scale: kernels.forward(x, None, None, shift, scale)[1],
    mutates_args=(),
    schema="(Tensor x, Tensor shift, Tensor scale) -> Tensor",
)
gated_add = torch.library.custom_op(
    "finetune::gated_add",
    lambda x, branch, gate: kernels.forward(x, branch, gate, None, None)[0],
    mutates_args=(),
    schema="(Tensor x, Tensor branch, Tensor gate) -> Tensor",
)
_add_norm = torch.library.custom_op(
    "finetune::add_norm_modulate",
    kernels.forward,
    mutates_args=(),
    schema="(Tensor x, Tensor branch, Tensor? gate, Tensor shift, Tensor scale)"
    " -> (Tensor, Tensor)",
)


def gated_add_norm_modulate(
    x: Tensor, branch: Tensor, gate: Tensor, shift: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute `reference.gated_add_norm_modulate` in one kernel."""
    added, normed = _add_norm(x, branch, gate, shift, scale)
    return added, normed


def add_norm_modulate(
    x: Tensor, branch: Tensor, shift: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute `reference.add_norm_modulate` in one kernel."""
    added, normed = _add_norm(x, branch, None, shift, scale)
    return added, normed


@torch.library.custom_op(
    "finetune::norm_modulate_backward",
    mutates_args=(),
    schema="(Tensor d_normed, Tensor x, Tensor scale) -> (Tensor, Tensor)",
)
def _norm_backward(d_normed: Tensor, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    d_x, _, tables = kernels.backward(d_normed, None, x, None, None, scale)
    return d_x, tables


@torch.library.custom_op(
    "finetune::gated_add_backward",
    mutates_args=(),
    schema="(Tensor d_added, Tensor branch, Tensor gate) -> (Tensor, Tensor)",
)
def _gated_add_backward(d_added: Tensor, branch: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
    _, d_branch, tables = kernels.backward(None, d_added, branch, branch, gate, None)
    return d_branch, tables


@torch.library.custom_op(
    "finetune::add_norm_modulate_backward",
    mutates_args=(),
    schema="(Tensor d_added, Tensor d_normed, Tensor added, Tensor? branch, Tensor? gate,"
    " Tensor scale) -> (Tensor, Tensor, Tensor)",
)
def _add_norm_backward(
    d_added: Tensor,
    d_normed: Tensor,
    added: Tensor,
    branch: Tensor | None,
    gate: Tensor | None,
    scale: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    d_x, d_branch, tables = kernels.backward(d_normed, d_added, added, branch, gate, scale)
    return d_x, added.new_empty(0) if gate is None else d_branch, tables


@torch.library.register_fake("finetune::norm_modulate")
def _(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return _like(x)


@torch.library.register_fake("finetune::gated_add")
def _(x: Tensor, branch: Tensor, gate: Tensor) -> Tensor:
    return _like(x)


@torch.library.register_fake("finetune::add_norm_modulate")
def _(x: Tensor, *_rest: Tensor | None) -> tuple[Tensor, Tensor]:
    return _like(x), _like(x)


@torch.library.register_fake("finetune::norm_modulate_backward")
def _(d_normed: Tensor, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    return _like(x), _tables(x, 2)


@torch.library.register_fake("finetune::gated_add_backward")
def _(d_added: Tensor, branch: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
    return _like(branch), _tables(branch, 1)


@torch.library.register_fake("finetune::add_norm_modulate_backward")
def _(
    d_added: Tensor, d_normed: Tensor, added: Tensor, branch: Tensor, gate: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d_branch = added.new_empty(0) if gate is None else _like(added)
    return _like(added), d_branch, _tables(added, 2 if gate is None else 3)


def _like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _tables(x: Tensor, count: int) -> Tensor:
    return x.new_empty((*x.shape[:2], count, x.shape[-1]), dtype=torch.float32)


def _setup_norm_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    x, _, scale = inputs
    ctx.save_for_backward(x, scale)


def _backward_norm(ctx: Any, d_normed: Tensor) -> tuple[Tensor, ...]:
    x, scale = ctx.saved_tensors
    d_x, tables = _norm_backward(d_normed, x, scale)
    d_shift, d_scale = tables.to(scale.dtype).unbind(2)
    return d_x, d_shift, d_scale


def _setup_gated_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    _, branch, gate = inputs
    ctx.save_for_backward(branch, gate)


def _backward_gated(ctx: Any, d_added: Tensor) -> tuple[Tensor, ...]:
    branch, gate = ctx.saved_tensors
    d_branch, tables = _gated_add_backward(d_added, branch, gate)
    return d_added, d_branch, tables[:, :, 0].to(gate.dtype)


def _setup_add_norm_context(
    ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]
) -> None:
    _, branch, gate, _, scale = inputs
    # without a gate, backward does not need the branch
    ctx.save_for_backward(output[0], None if gate is None else branch, gate, scale)


def _backward_add_norm(ctx: Any, d_added: Tensor, d_normed: Tensor) -> tuple[Tensor | None, ...]:
    added, branch, gate, scale = ctx.saved_tensors
    d_x, d_branch, tables = _add_norm_backward(d_added, d_normed, added, branch, gate, scale)
    *d_gate, d_shift, d_scale = tables.to(scale.dtype).unbind(2)
    if gate is None:
        return d_x, d_x, None, d_shift, d_scale
    return d_x, d_branch, *d_gate, d_shift, d_scale


norm_modulate.register_autograd(_backward_norm, setup_context=_setup_norm_context)
gated_add.register_autograd(_backward_gated, setup_context=_setup_gated_context)
_add_norm.register_autograd(_backward_add_norm, setup_context=_setup_add_norm_context)
