"""The ranks of a run: which device each has, how they meet, and what becomes of a lost one."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # later, its defaults would hold the group for ever
from torch import Tensor

from finetune.config import Recipe
from finetune.errors import EngineError, TrainingStopped

TIMEOUT = timedelta(minutes=10)  # after which a silent rank counts as lost
LOST_PEER = re.compile(
    r"closed by peer|Connection reset|Broken pipe|timed? ?out|NCCL|Gloo|gloo", re.I
)


def rank_and_world_size() -> tuple[int, int]:
    """This process's number, and how many there are."""
    if dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def choose_device(recipe: Recipe) -> torch.device:
    """The recipe's device; raises EngineError where it has none."""
    if recipe.device == "cpu" or (recipe.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise EngineError("device = 'cuda', but there is no GPU that torch can use: set 'cpu'")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def process_group(
    recipe: Recipe,
    device: torch.device,
    remedy: Callable[[], str] = lambda: "lower its micro_batch_size",
) -> Iterator[None]:
    """Join the ranks that torchrun has started, and part from them at the end.

    An error of a lost peer becomes TrainingStopped; want of memory an EngineError with a `remedy`.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    started = not dist.is_initialized() and _init_process_group(recipe, device)
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EngineError(f"a step does not fit into the GPU: {remedy()} ({error})") from error
    except RuntimeError as error:
        if not dist.is_initialized() or not LOST_PEER.search(str(error)):
            raise
        raise TrainingStopped(
            f"rank {dist.get_rank()} lost a peer ({str(error).splitlines()[0]}): its log says why. "
            "Start again with --resume auto"
        ) from error
    finally:
        if started:
            _destroy_process_group()


def _init_process_group(recipe: Recipe, device: torch.device) -> bool:
    """Join a process group if there are ranks, or if the engine wants one; says whether it did."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    if "RANK" in os.environ:
        dist.init_process_group(backend, timeout=TIMEOUT)
        return True
    if recipe.engine == "colossalai" or recipe.strategy == "fsdp2":
        dist.init_process_group(
            backend, store=torch._C._distributed_c10d.HashStore(), rank=0, world_size=1
        )
        return True
    return False


def _destroy_process_group() -> None:
    """Leave the process group, and end its threads.

    ColossalAI's wrappers hold the group in circles of references. Left to the interpreter's end, a
    thread of gloo that still gives back a tensor there takes the process down with SIGABRT.
    """
    dist.destroy_process_group()
    gc.collect()


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum over all ranks, of float64 values on the CPU."""
    _, world_size = rank_and_world_size()
    if world_size == 1:
        return values
    on_gpu = dist.get_backend() == "nccl"
    shared = values.cuda() if on_gpu else values.clone()
    dist.all_reduce(shared)
    return shared.cpu()
