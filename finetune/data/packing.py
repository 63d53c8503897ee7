"""Pack a batch's tensors to send them between processes, where each tensor is an open file.

A batch of 256 images has 768 tensors, and a process may often open only 1,024 files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class PackedTensors(NamedTuple):
    """Tensors of any shapes, concatenated per dtype in order; `unpack_tensors` restores them."""

    flat: dict[torch.dtype, Tensor]
    shapes: list[tuple[torch.dtype, torch.Size] | None]


def pack_tensors(tensors: Sequence[Tensor | None]) -> PackedTensors:
    """Concatenate tensors per dtype; None stays None."""
    shapes = [None if t is None else (t.dtype, t.shape) for t in tensors]
    dtypes = {shape[0] for shape in shapes if shape}
    flat = {
        dtype: torch.cat([t.flatten() for t in tensors if t is not None and t.dtype == dtype])
        for dtype in dtypes
    }
    return PackedTensors(flat, shapes)


def unpack_tensors(packed: PackedTensors) -> list[Tensor | None]:
    """Return the tensors, as views of the concatenated ones."""
    offset = dict.fromkeys(packed.flat, 0)
    tensors: list[Tensor | None] = []
    for shape in packed.shapes:
        if shape is None:
            tensors.append(None)
            continue
        dtype, size = shape
        start, offset[dtype] = offset[dtype], offset[dtype] + math.prod(size)
        tensors.append(packed.flat[dtype][start : offset[dtype]].view(size))
    return tensors
