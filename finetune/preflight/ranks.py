"""Join the ranks of a preflight, and name those that do not keep up."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from finetune.engines.distributed import (
    all_gather,
    is_lost_peer,
    node_number,
    rank_and_world_size,
)
from finetune.errors import EngineError

CLOCK_ROUNDS = 5
"""Round trips of a clock's measurement; the fastest one counts."""


class Ranks:
    """The ranks of a preflight; `gather` notes in a store how far each of them has come."""

    def __init__(self, store: Any = None) -> None:
        self.rank, self.world_size = rank_and_world_size()
        self.node = node_number()
        self.of_nodes: dict[int, list[int]] = {self.node: [self.rank]}
        self._store, self._stage = store, ""

    def meet(self) -> None:
        """Learn the ranks of all nodes; every rank must call."""
        nodes = self.gather("the start", self.node)
        self.of_nodes = {
            node: [rank for rank, other in enumerate(nodes) if other == node]
            for node in sorted(set(nodes))
        }

    @property
    def is_first_of_node(self) -> bool:
        """Tell if this is the rank that measures for its node."""
        return self.of_nodes[self.node][0] == self.rank

    def gather(self, stage: str, value: Any = None) -> list[Any]:
        """Return every rank's picklable value; every rank must call, at the same stages."""
        self._stage = stage
        if self._store is not None:
            self._store.set(f"preflight/{stage}/{self.rank}", "reached")
        return all_gather(value)

    def late(self) -> list[int]:
        """Return the ranks that have not reached this rank's stage."""
        if self._store is None:
            return []
        keys = {rank: f"preflight/{self._stage}/{rank}" for rank in range(self.world_size)}
        return [rank for rank, key in keys.items() if not self._store.check([key])]

    def late_error(self, error: RuntimeError) -> EngineError:
        """Return the error of a rank that waited in vain, which names the others."""
        try:
            late = self.late()
        except RuntimeError:  # the store is gone with its rank
            late = []
        who = f"rank {', '.join(map(str, late))}" if late else "another rank"
        nodes = sorted(n for n, ranks in self.of_nodes.items() if set(ranks) & set(late))
        where = f" (node {', '.join(map(str, nodes))})" if nodes else ""
        return EngineError(
            f"rank {self.rank} waited in vain at '{self._stage}' for {who}{where}: see its output "
            f"there, a dead mount or network is likely ({str(error).splitlines()[0]})"
        )

    def clock_offset(self) -> float:
        """Return the seconds by which this node's clock is ahead of rank 0's; all must call."""
        offset = 0.0
        for first in (ranks[0] for ranks in self.of_nodes.values()):
            if first and self.rank == 0:
                _answer_clock(first)
            elif first and self.rank == first:
                offset = _compare_clock()
        return offset


def _answer_clock(rank: int) -> None:
    for _ in range(CLOCK_ROUNDS):
        dist.recv(torch.empty(1, dtype=torch.float64), src=rank)
        dist.send(_now(), dst=rank)


def _compare_clock() -> float:
    """Return the offset from rank 0's clock, read halfway through the fastest round trip."""
    best = float("inf"), 0.0
    for _ in range(CLOCK_ROUNDS):
        answer, begin = torch.empty(1, dtype=torch.float64), time.time()
        dist.send(_now(), dst=0)
        dist.recv(answer, src=0)
        end = time.time()
        best = min(best, (end - begin, (begin + end) / 2 - float(answer)))
    return best[1]


def _now() -> Tensor:
    return torch.tensor([time.time()], dtype=torch.float64)


@contextmanager
def joined_ranks(device: torch.device, timeout: float) -> Iterator[Ranks]:
    """Join torchrun's ranks by gloo, and NCCL for tensors of a GPU; leave them at the end.

    timeout: seconds that a rank may be silent. Raise EngineError with the late ranks after that.
    """
    if "RANK" not in os.environ:
        yield Ranks()
        return
    limit = timedelta(seconds=timeout)
    # a failed all-reduce of NCCL is to raise here, not to end the process
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        store, rank, world_size = next(rendezvous("env://", timeout=limit))
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=world_size, timeout=limit
        )
    except (dist.DistError, RuntimeError) as error:
        raise EngineError(
            f"rank {os.environ['RANK']} cannot join the others at {os.environ.get('MASTER_ADDR')}:"
            f"{os.environ.get('MASTER_PORT')} ({str(error).splitlines()[0]}): open the port between"
            " the nodes, and set GLOO_SOCKET_IFNAME to the network that they share"
        ) from error
    ranks = Ranks(store)
    try:
        ranks.meet()
        yield ranks
    except RuntimeError as error:
        if not is_lost_peer(error):
            raise
        raise ranks.late_error(error) from error
    finally:
        dist.destroy_process_group()
