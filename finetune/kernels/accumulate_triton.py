"""The Triton of `accumulate`: a program adds a piece of one tensor, found by its address."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
import triton
import triton.language as tl
from torch import Tensor

from finetune.tensors import to_device_async

BLOCK_SIZE = 4096
ALIGNMENT = 8  # numbers: what one load takes of a half precision


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
    """One piece: `owners` says of which tensor, `begins` from where in it."""
    piece = tl.program_id(0)
    owner = tl.load(owners + piece)
    begin = tl.load(begins + piece)
    address = tl.load(addresses + owner)
    at = tl.multiple_of(begin, ALIGNMENT) + tl.arange(0, BLOCK_SIZE)
    inside = (at < tl.load(sizes + owner)) & (address != 0)
    gradient = tl.multiple_of(address, 2 * ALIGNMENT).to(example.dtype)
    more = tl.load(gradient + at, mask=inside, other=0).to(tl.float32)
    to = total + tl.multiple_of(tl.load(firsts + owner), ALIGNMENT) + at
    tl.store(to, tl.load(to, mask=inside, other=0) + more, mask=inside)


class AccumulateLauncher:
    """Where the pieces are, worked out once."""

    def __init__(self, total: Tensor, sizes: Sequence[int]) -> None:
        self.total = total
        counts = [triton.cdiv(size, BLOCK_SIZE) for size in sizes]
        pieces = [
            (owner, n * BLOCK_SIZE) for owner, count in enumerate(counts) for n in range(count)
        ]
        owners, begins = zip(*pieces, strict=True)
        firsts = [0, *accumulate(sizes)][:-1]
        self.aligned = ALIGNMENT if all(size % ALIGNMENT == 0 for size in sizes) else 1
        self._tables = (
            torch.tensor(owners, dtype=torch.int32, device=total.device),
            *(torch.tensor(t, device=total.device) for t in (begins, firsts, sizes)),
        )

    def supports(self, gradients: Sequence[Tensor | None]) -> bool:
        """Whether each gradient there lies in one piece of memory, as a kernel can load it."""
        return all(
            g is None or (g.is_contiguous() and g.data_ptr() % (2 * ALIGNMENT) == 0)
            for g in gradients
        )

    def __call__(self, gradients: Sequence[Tensor | None]) -> None:
        example = next((g for g in gradients if g is not None), None)
        if example is None:
            return
        found = torch.tensor([0 if g is None else g.data_ptr() for g in gradients])
        addresses = to_device_async(found, self.total.device)
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
