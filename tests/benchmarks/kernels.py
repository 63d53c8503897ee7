"""Time the kernels one by one, and profile a clip: `python -m tests.benchmarks.kernels`.

Full size: one clip of 32 frames at 360x640. Milliseconds of forward and backward, in plain PyTorch
and with Triton; then a profile of the compiled network, kernels grouped by kind.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator

import torch
import typer
from torch import Tensor

from finetune import kernels
from finetune.kernels import norms, reference, space, text, time
from finetune.kernels.reference import RotaryTable
from finetune.models.stdit2.network import STDiT2
from tests.benchmarks.cost import seconds
from tests.benchmarks.profiling import kernel_times, slowest_lines
from tests.benchmarks.training import open_every_branch

T, S, H, D = 32, 920, 16, 72
KINDS = {
    "matrix products": r"gemm|nvjet|cutlass_80|cublas|splitK|matmul",
    "attention in space": r"^_split|fmha|sdpa|cudnn",
    "attention in time": r"^_time",
    "attention to the text": r"^_text",
    "gates, residuals, norms": r"^_norm",
    "compiled elementwise": r"^triton_",
}


def random(*shape: int) -> Tensor:
    return torch.randn(shape, device="cuda", dtype=torch.bfloat16)


def operations() -> dict[str, tuple[Callable[..., object], Callable[..., object], list[Tensor]]]:
    """Return each operation in plain PyTorch and with Triton, and its inputs."""
    x, branch = random(1, T, S, H * D), random(1, T, S, H * D)
    tables = list(random(1, T, 6 * H * D).chunk(6, -1))
    weights = [random(D), random(D)]
    angles = torch.rand(T, D // 2, device="cuda")
    rotation = RotaryTable(angles.cos(), angles.sin())
    mask = torch.arange(200, device="cuda")[None] < 120
    layout = text.lay_out_text(mask)
    q, kv = random(1, T * S, H, D), random(1, 200, 2, H, D)
    return {
        "norm_modulate": (reference.norm_modulate, norms.norm_modulate, [x, *tables[:2]]),
        "gated_add": (reference.gated_add, norms.gated_add, [x, branch, tables[0]]),
        "gated_add_norm_modulate": (
            reference.gated_add_norm_modulate,
            norms.gated_add_norm_modulate,
            [x, branch, *tables[:3]],
        ),
        "space_attention": (
            reference.spatial_attention,
            space.spatial_attention,
            [random(T, S, 3, H, D), *weights],
        ),
        "time_attention": (
            lambda *inputs: reference.temporal_attention(*inputs, rotation),
            lambda *inputs: time.temporal_attention(*inputs, rotation),
            [random(1, T, S, 3, H, D), *weights],
        ),
        "text_attention": (
            lambda *inputs: reference.text_attention(*inputs, mask),
            lambda *inputs: text.text_attention(*inputs, layout),
            [q, kv],
        ),
    }


def both_ways(operation: Callable[..., object], inputs: list[Tensor]) -> tuple[float, float]:
    """Return the milliseconds of forward, and of forward with backward."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]

    def forward() -> list[Tensor]:
        out = operation(*leaves)
        return list(out) if isinstance(out, tuple) else [out]

    shapes = [torch.randn_like(out) for out in forward()]

    def backward() -> None:
        torch.autograd.grad(forward(), leaves, shapes)

    return tuple(1000 * statistics.median(seconds(work, 12)[4:]) for work in (forward, backward))


def network(frames: int = T) -> tuple[STDiT2, dict[str, Tensor]]:
    """Return XL/2 with the kernels, compiled, and the inputs of one clip."""
    with torch.device("cuda"):
        model = open_every_branch(STDiT2()).bfloat16()
        scalars = {"num_frames": frames, "height": 360, "width": 640, "ar": 0.5625, "fps": 8}
        inputs = {name: torch.tensor([float(value)]) for name, value in scalars.items()}
        inputs |= {
            "x": torch.randn(1, 4, frames, 45, 80),
            "timestep": torch.tensor([500.0]),
            "y": torch.randn(1, 1, 200, 4096),
            "mask": (torch.arange(200) < 120)[None],
        }
    ops = kernels.select_ops(torch.device("cuda"))
    return model.set_ops(ops).compile_blocks(), inputs


def kind_of(name: str) -> str:
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), "other")


def profile_lines() -> Iterator[str]:
    """Yield milliseconds by kind and of the slowest kernels, one clip forward and backward."""
    model, inputs = network()

    def clip() -> None:
        model(**inputs).square().mean().backward()
        for parameter in model.parameters():
            parameter.grad = None

    for _ in range(3):
        clip()
    yield f"one clip: {1000 * statistics.median(seconds(clip, 5)):.1f} ms"
    yield f"peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
    times, counts = kernel_times(clip)
    kinds = Counter[str]()
    for name, milliseconds in times.items():
        kinds[kind_of(name)] += milliseconds
    yield from (f"{value:8.2f} ms  {kind}" for kind, value in kinds.most_common())
    yield from slowest_lines(times, counts)


def main() -> None:
    """Print all lines."""
    for name, (plain, fast, inputs) in operations().items():
        cells = [f"{ms:.3f}" for work in (plain, fast) for ms in both_ways(work, inputs)]
        words = f"{name}: plain {cells[0]} / {cells[1]} ms, fast {cells[2]} / {cells[3]} ms"
        print(words, flush=True)
    for line in profile_lines():
        print(line, flush=True)


if __name__ == "__main__":
    typer.run(main)
