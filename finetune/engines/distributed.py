"""The ranks of a run: their devices, their process group, and the loss of one of them."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # imported later, its defaults would keep the group alive
from torch import Tensor

from finetune.config import Recipe
from finetune.errors import EngineError, TrainingStopped

TIMEOUT = timedelta(minutes=10)  # a rank that is silent for this long counts as lost
LOST_PEER_ERRORS = (dist.DistBackendError, dist.DistNetworkError, dist.DistStoreError)
GLOO_CONNECTION_ERROR = re.compile(
    r"gloo/transport/\S+\] .*(closed by peer|Socket closed|Connection reset|Broken pipe|imed out)"
    r"|^Application timeout caused pair closure"
)
"""gloo raises RuntimeError itself, with its source file: `[.../gloo/transport/tcp/pair.cc:553]`."""


def rank_and_world_size() -> tuple[int, int]:
    """Return this process's rank and the number of ranks."""
    if dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def node_number() -> int:
    """Return this node's number as torchrun has it; 0 without torchrun."""
    return int(os.environ.get("GROUP_RANK", "0"))


def choose_device(recipe: Recipe) -> torch.device:
    """Return the recipe's device; raise EngineError if this machine lacks it."""
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
    """Join the process group of torchrun's ranks, and leave it at the end.

    Raise TrainingStopped for the loss of another rank, and EngineError with `remedy` if a step does
    not fit into the GPU's memory.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    started = not dist.is_initialized() and _init_process_group(recipe, device)
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EngineError(f"a step does not fit into the GPU: {remedy()} ({error})") from error
    except RuntimeError as error:
        if not is_lost_peer(error):
            raise
        raise TrainingStopped(
            f"rank {rank_and_world_size()[0]} lost a peer ({str(error).splitlines()[0]}): see the "
            "log of the other ranks, then start again with --resume auto"
        ) from error
    finally:
        if started:
            _destroy_process_group()


def is_lost_peer(error: RuntimeError) -> bool:
    """Tell if an error means that another rank is gone, or the connection to it."""
    return isinstance(error, LOST_PEER_ERRORS) or bool(GLOO_CONNECTION_ERROR.search(str(error)))


def _init_process_group(recipe: Recipe, device: torch.device) -> bool:
    """Join a process group if there are ranks or the engine needs one; tell if there is one."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    if "RANK" in os.environ:
        dist.init_process_group(backend, timeout=TIMEOUT)
        return True
    if recipe.engine == "colossalai" or recipe.is_sharded:
        dist.init_process_group(
            backend, store=torch._C._distributed_c10d.HashStore(), rank=0, world_size=1
        )
        return True
    return False


def _destroy_process_group() -> None:
    """Leave the process group, and end its threads.

    ColossalAI's wrappers keep the group in reference cycles. If gloo's threads are still alive when
    the interpreter exits, one that frees a tensor there ends the process with SIGABRT.
    """
    dist.destroy_process_group()
    gc.collect()


def all_reduce_sum(values: Tensor) -> Tensor:
    """Return the sum over all ranks of a CPU tensor of float64; every rank must call."""
    if rank_and_world_size()[1] == 1:
        return values
    on_gpu = dist.get_backend() == "nccl"
    shared = values.cuda() if on_gpu else values.clone()
    dist.all_reduce(shared)
    return shared.cpu()


def all_gather(value: Any, group: Any = None) -> list[Any]:
    """Return every rank's picklable `value` in the order of ranks; every rank must call.

    group: of all ranks, for a thread that exchanges values beside the training.
    """
    world_size = rank_and_world_size()[1]
    values = [value] * world_size
    if world_size > 1:
        dist.all_gather_object(values, value, group=group)
    return values
