"""Run a training in several gloo processes, as torchrun starts them."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import torch

from finetune.config import Recipe
from finetune.training.loop import train

CACHED_GROUPS = (
    "fsdp2",
    "hsdp",
    "gemini",
)  # torch and ColossalAI cache objects that keep the group


def work(rank: int, world_size: int, port: int, recipe: Recipe, options: dict[str, Any]) -> None:
    """Train as one rank, then end the process."""
    os.environ.update(
        RANK=str(rank), WORLD_SIZE=str(world_size), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    if recipe.engine == "colossalai":
        from tests.kit import cpushim

        cpushim.install()
    train(recipe, **options)
    if recipe.strategy not in CACHED_GROUPS:
        assert "pt_gloo_runloop" not in threads(), "the process group outlives the training"
    sys.stdout.flush()
    os._exit(0)  # the interpreter may abort at exit while threads of a group run


def threads() -> set[str]:
    """Return the names of this process's threads, those of C++ too; none without Linux's /proc."""
    return {name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def train_in_ranks(recipe: Recipe, world_size: int = 2, **options: Any) -> Path:
    """Train with `world_size` ranks, and return the run's folder."""
    arguments = (world_size, free_port(), recipe, options)
    torch.multiprocessing.spawn(work, arguments, nprocs=world_size)
    return Path(recipe.out)
