"""Tensors packed for a journey arrive as they left, in few files."""

from __future__ import annotations

import torch

from finetune.data.packing import pack_tensors, unpack_tensors


def test_tensors_of_any_shape_and_precision_come_back_in_order() -> None:
    tensors = [
        torch.randn(2, 3),
        None,
        torch.randn(4).half(),
        torch.randn(0, 7),
        torch.randn(1, 2, 3).transpose(0, 2),
    ]
    packed = pack_tensors(tensors)
    assert len(packed.flat) == 2
    for got, sent in zip(unpack_tensors(packed), tensors, strict=True):
        assert (got is None) == (sent is None)
        if got is not None and sent is not None:
            assert got.dtype == sent.dtype
            assert torch.equal(got, sent)


def test_nothing_is_packed_as_nothing() -> None:
    assert unpack_tensors(pack_tensors([])) == []
    assert unpack_tensors(pack_tensors([None, None])) == [None, None]
