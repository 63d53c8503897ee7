"""Two blocks of XL/2 at 360p x 32, compiled on the kernels, against plain float32: a GPU's test."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from finetune.kernels.ops import Ops
from finetune.models.stdit2.network import STDiT2, STDiT2Config
from tests.finetune.kernels.agreement import SLACK, whole

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: needs a CUDA device"),
]

CONFIG = STDiT2Config(depth=2, class_dropout_prob=0.0)


def conditioning(clips: int, frames: int, *, given: bool) -> dict[str, Tensor]:
    """Latents of 45 rows (odd), text of unequal length with holes."""
    generator = torch.Generator("cuda").manual_seed(1)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device="cuda")

    def same(value: float) -> Tensor:
        return torch.full((clips,), value, device="cuda")

    mask = torch.arange(200, device="cuda") < torch.tensor([[57], [200]], device="cuda")[:clips]
    mask[:, 3] = False
    frame_mask = torch.ones(clips, frames, dtype=torch.bool, device="cuda")
    frame_mask[:, :3] = not given
    return {
        "x": noise(clips, 4, frames, 45, 80),
        "timestep": same(600.0),
        "y": noise(clips, 1, 200, 4096),
        "mask": mask,
        "x_mask": frame_mask,
        "num_frames": same(frames),
        "height": same(360.0),
        "width": same(640.0),
        "ar": same(0.5625),
        "fps": same(8.0),
    }


def model(dtype: torch.dtype) -> STDiT2:
    torch.manual_seed(0)
    with torch.device("cuda"):
        made = STDiT2(CONFIG)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return made.to(dtype)


def gradients(network: STDiT2, given: dict[str, Tensor]) -> dict[str, Tensor]:
    output = network(**given)
    generator = torch.Generator("cuda").manual_seed(2)
    weight = torch.randn(output.shape, generator=generator, device="cuda")
    loss = (output * weight).mean() * 1000
    loss.backward()
    found = {n: p.grad.float() for n, p in network.named_parameters() if p.grad is not None}
    return {"loss": loss.detach().flatten(), "out": output.detach(), **found}


@pytest.mark.parametrize(
    ("clips", "frames", "given"), [(1, 32, True), (2, 16, True), (1, 64, False)]
)
def test_compiled_kernels_are_no_further_from_float32(clips: int, frames: int, given: bool) -> None:
    from finetune.kernels import triton_ops

    inputs = conditioning(clips, frames, given=given)
    truth = gradients(model(torch.float32), inputs)
    plain = gradients(model(torch.bfloat16).set_ops(Ops()), inputs)
    fast = gradients(model(torch.bfloat16).set_ops(triton_ops()).compile_blocks(), inputs)
    assert truth.keys() == plain.keys() == fast.keys()
    worst = {name: far(fast[name], truth[name]) for name in truth}
    print({name: f"{worst[name]:.1e}" for name in sorted(worst, key=worst.get)[-5:]})
    print(f"all: fast {whole(fast, truth):.3e}, plain bfloat16 {whole(plain, truth):.3e}")
    assert far(fast["out"], truth["out"]) <= SLACK * far(plain["out"], truth["out"])
    assert whole(fast, truth) <= SLACK * whole(plain, truth)


def far(got: Tensor, truth: Tensor) -> float:
    return float((got - truth).norm() / truth.norm().clamp(min=1e-20))
