"""Measure all-reduce within and across nodes, beside what the links should give."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.distributed as dist

from finetune.preflight.ranks import Ranks

GPU_MIB, CPU_MIB = 1024, 8
"""Size of an all-reduce: two H200s on NVLink reach 267, 299 and 333 GB/s at 64, 256, 1,024 MiB."""
GPU_TIMES, CPU_TIMES, LATENCY_TIMES = 20, 5, 10
GPU_WARMUP = 5  # all-reduces of NCCL before its rings are at full speed; gloo takes one
INTERFACES = Path("/sys/class/net")
INFINIBAND = Path("/sys/class/infiniband")
MBIT_PER_GB = 8000


@dataclass(frozen=True, kw_only=True)
class LinkSpeed:
    """An all-reduce among some ranks."""

    nodes: tuple[int, ...]
    ranks: int
    gb_s: float  # bus bandwidth, as nccl-tests counts it: 2 (n - 1) / n of the bytes over the time
    latency_us: float  # of four bytes

    @property
    def name(self) -> str:
        """Return what lies between these ranks."""
        if len(self.nodes) == 1:
            return f"within node {self.nodes[0]}"
        if len(self.nodes) == 2:
            return f"node {self.nodes[0]} - node {self.nodes[1]}"
        return f"all {self.ranks} ranks"


def measure_links(ranks: Ranks, device: torch.device) -> list[LinkSpeed]:
    """Return the links within each node, of neighbours in the ring of nodes, and of all ranks.

    Every rank must call, and gets the same list. One link is measured at a time.
    """
    links = []
    for nodes in link_nodes(list(ranks.of_nodes)):
        members = [rank for node in nodes for rank in ranks.of_nodes[node]]
        if len(members) > 1:
            links.append(_measure(ranks, nodes, members, device))
    return links


def link_nodes(nodes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the nodes of each link: single ones, neighbours in their ring, and all."""
    yield from ((node,) for node in nodes)
    if len(nodes) > 2:
        yield from pairwise([*nodes, nodes[0]])
    if len(nodes) > 1:
        yield tuple(nodes)


def _measure(
    ranks: Ranks, nodes: tuple[int, ...], members: Sequence[int], device: torch.device
) -> LinkSpeed:
    """Measure one link, while the other ranks wait; the slowest rank's time counts."""
    group = dist.new_group(members)
    on_gpu = device.type == "cuda"
    figures, size = (0.0, 0.0), (GPU_MIB if on_gpu else CPU_MIB) * 2**20
    if ranks.rank in members:
        values = torch.zeros(size // 4, device=device)  # sums of sums of ones would overflow
        warmup, times = (GPU_WARMUP, GPU_TIMES) if on_gpu else (1, CPU_TIMES)
        figures = (
            _seconds(values, group, times, warmup),
            _seconds(values[:1], group, LATENCY_TIMES, warmup),
        )
    every = ranks.gather(f"all-reduce of nodes {nodes}", figures)
    seconds, latency = (max(column) for column in zip(*every, strict=True))
    dist.destroy_process_group(group)
    bus = 2 * (len(members) - 1) / len(members) * size / seconds / 1e9
    return LinkSpeed(nodes=nodes, ranks=len(members), gb_s=bus, latency_us=latency * 1e6)


def _seconds(values: torch.Tensor, group: dist.ProcessGroup, times: int, warmup: int) -> float:
    """Return the seconds of one all-reduce, the mean of several after some to warm up."""
    begin = 0.0
    for number in range(warmup + times):
        if number == warmup:
            values[0].item()  # waits for the GPU
            begin = time.perf_counter()
        dist.all_reduce(values, group=group)
    values[0].item()
    return (time.perf_counter() - begin) / times


def network_gb_s() -> float | None:
    """Return the rate of this node's network by its drivers: all InfiniBand, else the fastest port.

    None where they report none, as virtual ports do.
    """
    if rates := [rate for file in INFINIBAND.glob("*/ports/*/rate") if (rate := _gbit(file))]:
        return sum(rates) / 8
    speeds = [_mbit(file) for file in INTERFACES.glob("*/speed")]
    return max(speeds, default=0) / MBIT_PER_GB or None


def _gbit(file: Path) -> float:
    """Return the Gbit/s of an InfiniBand port's file, such as `400 Gb/sec (4X NDR)`; 0 if down."""
    with suppress(OSError, ValueError):
        active = (file.parent / "state").read_text().split(":")[-1].strip() == "ACTIVE"
        return float(file.read_text().split()[0]) * active
    return 0.0


def _mbit(file: Path) -> float:
    with suppress(OSError, ValueError):  # a port that is down cannot be read
        return max(float(file.read_text()), 0.0)
    return 0.0
