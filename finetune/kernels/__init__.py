"""The inner operations of a block: a plain reference, and fast drop-ins of the same shapes."""

from __future__ import annotations

from finetune.kernels.select import (
    available,
    fast_ops,
    ops_for,
)

__all__ = [
    "available",
    "fast_ops",
    "ops_for",
]
