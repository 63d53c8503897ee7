"""Keep the frozen weights of blocks in the host's memory, and copy each to the GPU ahead of use.

Two blocks' weights are on the GPU at a time: while one block computes, the next one's are copied on
a stream of their own, in the order of the forward pass and back again in the backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

SLOTS = 2  # blocks on the GPU at a time
ALIGNMENT = 256  # bytes between tensors of a slot, as of CUDA's own allocations


def offload_blocks(blocks: Sequence[nn.Module], device: torch.device) -> None:
    """Move the frozen matrices of blocks into host memory; their hooks copy them to the device.

    The blocks must be called in their order, as by a network's forward pass.
    """
    BlockOffload(blocks, device)


class BlockOffload:
    """The frozen tensors of some blocks: in host memory, and in slots on the device they share.

    Block n uses slot n % 2, and its tensors are views of that slot for good, so compiled graphs and
    the backward pass find them at one address. Nothing is copied back: they do not change.
    """

    def __init__(self, blocks: Sequence[nn.Module], device: torch.device) -> None:
        tensors = [list(_frozen_tensors(block)) for block in blocks]
        sizes = [sum(map(_aligned_bytes, of_block)) for of_block in tensors]
        self._slots = [_bytes(max(sizes, default=0), device) for _ in range(SLOTS)]
        self._held: list[int | None] = [None] * SLOTS  # numbers of the blocks in the slots
        self._copies = _cuda().Stream(device) if device.type == "cuda" else None
        self._copied, self._used = ([_event(device) for _ in range(SLOTS)] for _ in range(2))
        self._host = [
            _move(of_block, size, self._slots[number % SLOTS])
            for number, (of_block, size) in enumerate(zip(tensors, sizes, strict=True))
        ]
        for number, block in enumerate(blocks):
            self._add_hooks(block, number)

    def acquire(self, number: int, following: int) -> None:
        """Wait for a block's weights, and start to copy those of the block that follows."""
        self._load(number)
        if self._copies is not None:
            torch.cuda.current_stream().wait_event(self._copied[number % SLOTS])
        if 0 <= following < len(self._host):
            self._load(following)

    def release(self, number: int) -> None:
        """Let another block's weights into this block's slot, after the work queued so far."""
        if self._copies is not None:
            self._used[number % SLOTS].record()

    def _load(self, number: int) -> None:
        slot, host = number % SLOTS, self._host[number]
        if self._held[slot] == number:
            return
        self._held[slot] = number
        target = self._slots[slot][: len(host)]
        if self._copies is None:
            target.copy_(host)
            return
        with torch.cuda.stream(self._copies):
            self._copies.wait_event(self._used[slot])
            target.copy_(host, non_blocking=True)
            self._copied[slot].record()

    def _add_hooks(self, block: nn.Module, number: int) -> None:
        def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            self.acquire(number, number + 1)
            return _with_call(args, lambda: self.release(number))

        def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            self.release(number)
            return _with_call((output,), lambda: self.acquire(number, number - 1))[0]

        block.register_forward_pre_hook(before)
        block.register_forward_hook(after)


class _CallInBackward(torch.autograd.Function):
    """Pass a tensor on, and call a function when the backward pass comes to it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Callable[[], None]) -> Tensor:
        ctx.call = call
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        ctx.call()
        return grads[0], None


def _with_call(given: tuple[Any, ...], call: Callable[[], None]) -> tuple[Any, ...]:
    """Return tensors of which the first one calls a function in the backward pass."""
    first, *rest = given
    if isinstance(first, Tensor) and first.requires_grad:
        first = _CallInBackward.apply(first, call)  # type: ignore[no-untyped-call]
    return first, *rest


def _frozen_tensors(block: nn.Module) -> Iterator[Tensor]:
    """Yield the matrices that are not trained, those of quantized layers too."""
    yield from (p for p in block.parameters() if not p.requires_grad and p.dim() > 1)
    yield from (buffer for buffer in block.buffers() if buffer.dim() > 1)


def _move(tensors: Sequence[Tensor], size: int, slot: Tensor) -> Tensor:
    """Copy tensors into a buffer of the host, and make them views of a slot; return the buffer."""
    host, begin = _bytes(size, torch.device("cpu")), 0
    if slot.device.type == "cuda":
        # not `pin_memory`, which would round its size up to a power of two
        cuda = _cuda()
        cuda.check_error(cuda.cudart().cudaHostRegister(host.data_ptr(), size, 0))
    for tensor in tensors:
        part = slice(begin, begin + tensor.nbytes)
        begin += _aligned_bytes(tensor)
        host[part] = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
        tensor.data = slot[part].view(tensor.dtype).view(tensor.shape)
    return host


def _aligned_bytes(tensor: Tensor) -> int:
    return math.ceil(tensor.nbytes / ALIGNMENT) * ALIGNMENT


def _bytes(size: int, device: torch.device) -> Tensor:
    return torch.empty(size, dtype=torch.uint8, device=device)


def _event(device: torch.device) -> Any:
    return _cuda().Event() if device.type == "cuda" else None


def _cuda() -> Any:
    """Return torch's module of CUDA, whose annotations are incomplete."""
    return torch.cuda
