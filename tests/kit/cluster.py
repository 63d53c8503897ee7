"""Two hosts on one machine: a torchrun for each, that meet on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.kit.ranks import free_port

RANKS = 2
"""Ranks of each node."""


@contextmanager
def nodes(
    *command: str,
    nodes: int = 2,
    ranks: int = RANKS,
    environment: Sequence[Mapping[str, str]] = ({}, {}),
    prefix: Sequence[str] = (),
) -> Iterator[list[subprocess.Popen[str]]]:
    """Start `python -m finetune COMMAND` by a torchrun for each node; all end with the block.

    environment: variables of each node. prefix: a command that runs each torchrun.
    """
    port = free_port()
    started = [
        subprocess.Popen(
            [
                *(*prefix, sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}"),
                *(f"--nproc-per-node={ranks}", f"--node-rank={node}", "--max-restarts=0"),
                *(f"--master-addr=127.0.0.{2 if nodes > 1 else 1}", f"--master-port={port}"),
                *("-m", "finetune", *command),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment[node]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for node in range(nodes)
    ]
    try:
        yield started
    finally:
        for process in started:
            kill_node(process)
            process.communicate()


def kill_node(process: subprocess.Popen[str]) -> None:
    """Kill a torchrun and the session of its ranks, as a lost machine would end."""
    children = descendants(process.pid)
    for pid in (process.pid, *children):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def descendants(pid: int) -> list[int]:
    """Return a process's children and theirs; torchrun starts each rank in a session of its own."""
    try:
        children = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*children, *(below for child in children for below in descendants(child))]
