"""TEST ONLY: ColossalAI's ZeRO, Gemini and HybridAdam on CPU processes.

LowLevelZeroOptimizer rejects its CPU accelerator by an assertion, and uses its streams. Here the
CPU stands in for a device with synchronous streams, Gemini's chunks report a GPU, and a few lines
of PyTorch replace HybridAdam's compiled kernel. Nothing under `finetune/` uses this.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from colossalai.accelerator import api
from colossalai.accelerator.cpu_accelerator import CpuAccelerator
from colossalai.booster.plugin import GeminiPlugin, LowLevelZeroPlugin
from colossalai.kernel.kernel_loader import CPUAdamLoader
from colossalai.zero.gemini import gemini_ddp
from colossalai.zero.gemini.chunk import Chunk, ChunkManager, init_chunk_manager
from colossalai.zero.low_level.low_level_optim import LowLevelZeroOptimizer
from torch import Tensor


class Stream:
    """A stream without delay: its work is always done."""

    def wait_stream(self, *_: Any) -> None: ...

    def wait_event(self, *_: Any) -> None: ...

    def synchronize(self) -> None: ...


class Accelerator(CpuAccelerator):  # type: ignore[misc]
    """A single CPU 'device' without delay."""

    def synchronize(self, device: Any = None) -> None: ...

    def empty_cache(self) -> None: ...

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def Stream(self, *_: Any, **__: Any) -> Stream:  # noqa: N802
        return Stream()

    def current_stream(self, *_: Any, **__: Any) -> Stream:
        return Stream()

    def stream(self, _: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def max_memory_allocated(self, device: Any = None) -> int:
        return 0

    def memory_allocated(self, device: Any = None) -> int:
        return 0


class CPUAdamOptimizer:
    """The interface of the compiled kernel, in PyTorch."""

    def __init__(self, *_: Any) -> None: ...

    @torch.no_grad()
    def step(
        self,
        number: int,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        decay: float,
        _bias_correction: bool,
        weights: Tensor,
        grads: Tensor,
        first: Tensor,
        second: Tensor,
        div_scale: float,
    ) -> None:
        grads = grads.float() / (div_scale if div_scale > 0 else 1)
        first.lerp_(grads, 1 - beta1)
        second.mul_(beta2).addcmul_(grads, grads, value=1 - beta2)
        spread = (second / (1 - beta2**number)).sqrt().add_(eps)
        weights.mul_(1 - lr * decay).addcdiv_(first, spread, value=-lr / (1 - beta1**number))


def small_chunks(*arguments: Any, **settings: Any) -> ChunkManager:
    """Make chunks of a toy network's size, so that it is sharded at all."""
    small = {"min_chunk_size_m": 0.004, "search_range_m": 0.004}
    return init_chunk_manager(*arguments, **{**settings, **small})


close_chunk = Chunk.close_chunk


def closed(chunk: Chunk) -> None:
    """Keep a full chunk's shard on the 'device', which is the host."""
    close_chunk(chunk)
    if not chunk.is_gathered and chunk.cuda_shard is None:
        chunk.cuda_shard, chunk.cpu_shard = chunk.cpu_shard, None


def install() -> None:
    """Make ColossalAI accept this process's CPU."""
    api.set_accelerator(Accelerator())
    LowLevelZeroOptimizer._sanity_checks = lambda _self: None
    CPUAdamLoader.load = lambda _self, _name=None: SimpleNamespace(
        CPUAdamOptimizer=CPUAdamOptimizer
    )
    Chunk.device_type, Chunk.close_chunk = "cuda", closed
    Chunk.shard_move = lambda _self, *_args, **_options: None
    gemini_ddp.init_chunk_manager = small_chunks
    for plugin in (GeminiPlugin, LowLevelZeroPlugin):
        plugin.supported_devices = lambda _self: ["cpu"]
