"""Fused Triton versions of a block's operations, beside a plain PyTorch reference."""

from finetune.kernels.select import kernels_available, select_ops, triton_ops

__all__ = ["kernels_available", "select_ops", "triton_ops"]
