"""Triton kernel of `accumulate`: a program adds a block of one tensor, read at its address."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
import triton
import triton.language as tl
from torch import Tensor

from finetune.tensors import to_device_async

BLOCK_SIZE = 4096
ALIGNMENT = 8  # elements that one load takes in half precision


@triton.jit
def _accumulate(
    addresses,
    owners,
    begins,
    firsts,
    sizes,
    total,
    example,
    ALIGNMENT: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
):
    """Add one block: element `begins` onwards of tensor `owners`."""
    block = tl.program_id(0)
    owner = tl.load(owners + block)
    begin = tl.load(begins + block)
    address = tl.load(addresses + owner)
    offset = tl.multiple_of(begin, ALIGNMENT) + tl.arange(0, BLOCK_SIZE)
    inside = (offset < tl.load(sizes + owner)) & (address != 0)
    gradient = tl.multiple_of(address, 2 * ALIGNMENT).to(example.dtype)
    value = tl.load(gradient + offset, mask=inside, other=0).to(tl.float32)
    out = total + tl.multiple_of(tl.load(firsts + owner), ALIGNMENT) + offset
    tl.store(out, tl.load(out, mask=inside, other=0) + value, mask=inside)


class AccumulateLauncher:
    """Launch the kernel on blocks whose offsets are computed once."""

    def __init__(self, total: Tensor, sizes: Sequence[int]) -> None:
        self.total = total
        counts = [triton.cdiv(size, BLOCK_SIZE) for size in sizes]
        blocks = [
            (owner, n * BLOCK_SIZE) for owner, count in enumerate(counts) for n in range(count)
        ]
        owners, begins = zip(*blocks, strict=True)
        firsts = [0, *accumulate(sizes)][:-1]
        self.aligned = ALIGNMENT if all(size % ALIGNMENT == 0 for size in sizes) else 1
        self._tables = (
            torch.tensor(owners, dtype=torch.int32, device=total.device),
            *(torch.tensor(t, device=total.device) for t in (begins, firsts, sizes)),
        )

    def supports(self, gradients: Sequence[Tensor | None]) -> bool:
        """Return True if each gradient is contiguous and aligned, as the kernel needs."""
        return all(
            g is None or (g.is_contiguous() and g.data_ptr() % (2 * ALIGNMENT) == 0)
            for g in gradients
        )

    def __call__(self, gradients: Sequence[Tensor | None]) -> None:
        """Add gradients of one dtype to the total; None adds nothing."""
        example = next((g for g in gradients if g is not None), None)
        if example is None:
            return
        pointers = torch.tensor([0 if g is None else g.data_ptr() for g in gradients])
        addresses = to_device_async(pointers, self.total.device)
        owners, begins, firsts, sizes = self._tables
        _accumulate[(len(owners),)](
            addresses,
            owners,
            begins,
            firsts,
            sizes,
            self.total,
            example,
            ALIGNMENT=self.aligned,
            BLOCK_SIZE=BLOCK_SIZE,
            num_warps=8,
        )
