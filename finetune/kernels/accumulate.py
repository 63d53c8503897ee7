"""Add a micro-batch's gradients to the step's sum, one flat float32 tensor, in one launch.

PyTorch has no kernel for many sums of mixed precision: it launches one for each of a network's
seven hundred tensors. Without Triton this module does the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from finetune.kernels.select import kernels_available


class GradientAccumulator:
    """Sum gradients of these sizes into `flat` [sum of sizes], in their order."""

    def __init__(self, flat: Tensor, sizes: Sequence[int]) -> None:
        self.flat, self._parts = flat, flat.split(list(sizes))
        self._launch = None
        if kernels_available(flat.device):
            from finetune.kernels.accumulate_triton import AccumulateLauncher

            self._launch = AccumulateLauncher(flat, sizes)

    @torch.no_grad()
    def add(self, gradients: Sequence[Tensor | None]) -> None:
        """Add gradients of one floating dtype; None adds nothing."""
        if self._launch and self._launch.supports(gradients):
            self._launch(gradients)
            return
        for part, gradient in zip(self._parts, gradients, strict=True):
            if gradient is not None:
                part += gradient.flatten()
