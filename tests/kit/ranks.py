"""Run a training in several gloo processes, as torchrun would start them."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import torch

from finetune.config import Recipe
from finetune.training.loop import train

HELD = ("fsdp2", "gemini")  # torch and ColossalAI cache what holds their groups


def work(rank: int, world_size: int, port: int, recipe: Recipe, options: dict[str, Any]) -> None:
    """One rank's whole life."""
    os.environ.update(
        RANK=str(rank), WORLD_SIZE=str(world_size), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    if recipe.engine == "colossalai":
        from tests.kit import cpushim

        cpushim.install()
    train(recipe, **options)
    if recipe.strategy not in HELD:
        assert "pt_gloo_runloop" not in threads(), "the process group outlives the training"
    sys.stdout.flush()
    os._exit(0)  # the interpreter's own end may abort while a group's threads still run


def threads() -> set[str]:
    """Names of this process's threads, those of C++ too; none where /proc is not Linux's."""
    return {name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")}


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


def train_in_ranks(recipe: Recipe, world_size: int = 2, **options: Any) -> Path:
    """Train with `world_size` ranks; gives the run's folder."""
    arguments = (world_size, free_port(), recipe, options)
    torch.multiprocessing.spawn(work, arguments, nprocs=world_size)
    return Path(recipe.out)
