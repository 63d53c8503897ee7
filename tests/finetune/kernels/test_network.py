"""The whole network on the kernels: loss and every gradient, odd heights, masks, ragged text."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor

from finetune.kernels import select, triton_ops
from finetune.kernels.ops import Ops
from finetune.models.stdit2.network import STDiT2
from tests.finetune.kernels.agreement import (
    DEVICE,
    FLOOR,
    HALF,
    SLACK,
    distance,
    need_kernels,
    whole,
)
from tests.kit.networks import inputs, tiny_model


def gradients(ops: Ops, dtype: torch.dtype, case: dict[str, Tensor]) -> dict[str, Tensor]:
    """The loss and every weight's gradient, float32."""
    model: STDiT2 = tiny_model().to(DEVICE, dtype).set_ops(ops)
    output = model(**case)
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(3)).to(DEVICE)
    loss = (output * weight).mean()
    loss.backward()
    grads = {name: p.grad.float() for name, p in model.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), **grads}


GIVEN = torch.tensor([[False, True, True, True, True], [True, True, False, True, False]])
CASES = {
    "all at once": inputs(rows=5, columns=8, frames=5, seed=2) | {"x_mask": GIVEN},
    "video": inputs(),
    "odd height": inputs(rows=5, columns=8, frames=5, seed=2),
    "image": inputs(frames=1, batch=3, seed=4),
}


# in the interpreter a case takes a minute: there one stands for the videos
TOO_SLOW = [pytest.mark.gpu] if DEVICE == "cpu" else []


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=TOO_SLOW if name in ("video", "odd height") else [])
        for name, case in CASES.items()
    ],
)
def test_the_network_on_kernels_is_the_network(case: dict[str, Tensor]) -> None:
    need_kernels()
    case = {name: value.to(DEVICE) for name, value in case.items()}
    fast, plain = triton_ops(), Ops()
    truth = gradients(plain, torch.float32, case)
    got, usual = gradients(fast, HALF, case), gradients(plain, HALF, case)
    assert truth.keys() == got.keys()
    if DEVICE == "cpu":  # float32 stays plain on a GPU
        exact = gradients(fast, torch.float32, case)
        for name, wanted in truth.items():
            assert distance(exact[name], wanted) < FLOOR or wanted.norm() < 1e-7, name
    assert whole(got, truth) <= SLACK * whole(usual, truth)


def test_a_machine_without_a_gpu_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    select.warn_no_kernels.cache_clear()
    with caplog.at_level(logging.WARNING, logger="finetune.kernels"):
        assert select.select_ops("cpu") == select.select_ops("cpu") == Ops()
    assert [record.message for record in caplog.records if record.name == select.__name__] == [
        "no Triton kernels on this cpu: plain PyTorch, slower, the same results"
    ]
