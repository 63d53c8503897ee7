"""A micro-batch's gradients added to the step's, one flat float32 tensor, in one launch.

PyTorch has no kernel for many sums of unlike precisions: it launches one for each of a network's
seven hundred tensors. Off the GPU that is what happens here too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from finetune.kernels import kernels_available


class GradientAccumulator:
    """The sums of tensors of these sizes, as parts of `flat` [the sizes' sum], in their order."""

    def __init__(self, flat: Tensor, sizes: Sequence[int]) -> None:
        self.flat, self._parts = flat, flat.split(list(sizes))
        self._launch = None
        if kernels_available(flat.device):
            from finetune.kernels.accumulate_triton import AccumulateLauncher

            self._launch = AccumulateLauncher(flat, sizes)

    @torch.no_grad()
    def add(self, gradients: Sequence[Tensor | None]) -> None:
        """flat += gradients, of one floating type; None adds nothing."""
        if self._launch and self._launch.supports(gradients):
            self._launch(gradients)
            return
        for part, gradient in zip(self._parts, gradients, strict=True):
            if gradient is not None:
                part += gradient.flatten()
