"""A batch on its way between processes: each tensor sent is an open file, so few are sent.

Two hundred and fifty-six images are 768 tensors, and a process may often open 1,024 files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class PackedTensors(NamedTuple):
    """Tensors of any shapes as one for each precision, in order; `unpack_tensors` gives them back."""

    flat: dict[torch.dtype, Tensor]
    shapes: list[tuple[torch.dtype, torch.Size] | None]


def pack_tensors(tensors: Sequence[Tensor | None]) -> PackedTensors:
    """Copy tensors end to end; what is none stays none."""
    shapes = [None if t is None else (t.dtype, t.shape) for t in tensors]
    kinds = {shape[0] for shape in shapes if shape}
    flat = {
        kind: torch.cat([t.flatten() for t in tensors if t is not None and t.dtype == kind])
        for kind in kinds
    }
    return PackedTensors(flat, shapes)


def unpack_tensors(packed: PackedTensors) -> list[Tensor | None]:
    """The tensors again, views of what was sent."""
    place = dict.fromkeys(packed.flat, 0)
    tensors: list[Tensor | None] = []
    for shape in packed.shapes:
        if shape is None:
            tensors.append(None)
            continue
        kind, size = shape
        start, place[kind] = place[kind], place[kind] + math.prod(size)
        tensors.append(packed.flat[kind][start : place[kind]].view(size))
    return tensors
