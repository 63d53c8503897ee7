"""The inner operations of a block: a plain reference, and fast drop-ins of the same shapes."""

from __future__ import annotations

from finetune.kernels.select import (
    kernels_available,
    select_ops,
    triton_ops,
)

__all__ = ["kernels_available", "select_ops", "triton_ops"]
