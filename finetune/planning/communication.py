"""Estimate what ranks send to each other in a step, and how long that takes.

A ring of n ranks sends (n - 1) / n of a tensor from each rank in an all-gather or a reduce-scatter,
and twice that in an all-reduce (Patarasuk and Yuan, 2009). Whatever the number of its GPUs, as much
leaves each node, once: the ranks of a node are neighbours in the ring.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from finetune.config import Recipe
from finetune.errors import ConfigError
from finetune.models import find_family
from finetune.planning.cost import trained_parameters
from finetune.planning.links import node_link_gb_s

GRADIENT_BYTES = {"torch": 4, "colossalai": 2}  # in float32, and in the run's precision
GBIT_PER_GB = 8
SMALL_SHARE = 0.1  # of a step, for which a network's rate is named if none is given


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The GPUs of a plan. Raise ConfigError if nodes have no equal number of them."""

    gpus: int = 1  # of all nodes
    nodes: int = 1
    link_gbit: float | None = None  # of a node's network, one direction, all ports

    def __post_init__(self) -> None:
        if self.gpus % self.nodes:
            raise ConfigError(
                f"{self.gpus} GPUs are not a multiple of {self.nodes} nodes: set --gpus-per-node"
            )

    @property
    def gpus_per_node(self) -> int:
        return self.gpus // self.nodes

    def sharing_gpus(self, recipe: Recipe) -> int:
        """Return over how many GPUs the weights are sharded, where a strategy shards them."""
        return self.gpus_per_node if recipe.strategy == "hsdp" else self.gpus


def count_gpus(gpus: int | None, nodes: int, gpus_per_node: int | None) -> int:
    """Return the number of all GPUs; raise ConfigError for options that contradict each other."""
    if gpus_per_node is None:
        return gpus if gpus is not None else nodes
    if gpus not in (None, nodes * gpus_per_node):
        raise ConfigError(
            f"--gpus {gpus} is not {nodes} nodes of {gpus_per_node}: leave --gpus out"
        )
    return nodes * gpus_per_node


class Traffic(NamedTuple):
    """GB that leave each GPU over the links of its node, and each node over its network."""

    within: float
    between: float
    is_sharded: bool  # then it overlaps with computing, at least in part
    one_ring: bool = True  # over both kinds of links at once

    def seconds(self, gpu: str, cluster: Cluster) -> float | None:
        """Return how long it takes; None if the rate of the network is not known.

        Of one ring the slower link counts; two rings take turns at worst.
        """
        within = self.within / node_link_gb_s(gpu) if cluster.gpus_per_node > 1 else 0.0
        if not self.between:
            return within
        if cluster.link_gbit is None:
            return None
        between = self.between * GBIT_PER_GB / cluster.link_gbit
        return max(within, between) if self.one_ring else within + between


def step_traffic(recipe: Recipe, cluster: Cluster, passes: float) -> Traffic:
    """Return the traffic of a step of so many backward passes.

    ddp averages gradients once, after the last pass; ZeRO scatters gradients and gathers weights.
    FSDP2 gathers the weights for the forward and for the backward pass, and scatters gradients in
    each.
    """
    gradients = GRADIENT_BYTES[recipe.engine] * trained_parameters(recipe) / 1e9
    if recipe.strategy == "hsdp":
        inside = _sharded_gb(recipe, cluster.gpus_per_node, gradients)
        across = 2 * _ring(cluster.nodes) * gradients
        return Traffic(passes * inside, passes * across, is_sharded=True, one_ring=False)
    is_sharded = recipe.strategy in ("fsdp2", "gemini")
    if is_sharded:
        sent = passes * _sharded_gb(recipe, cluster.gpus, gradients)
    else:
        sent = 2 * _ring(cluster.gpus) * gradients
    return Traffic(sent, sent if cluster.nodes > 1 else 0.0, is_sharded=is_sharded)


def checkpoint_traffic(recipe: Recipe, cluster: Cluster, gigabytes: float) -> Traffic:
    """Return the traffic of gathering a checkpoint of this size, none without shards."""
    sent = _ring(cluster.sharing_gpus(recipe)) * gigabytes * recipe.is_sharded
    crosses = cluster.nodes > 1 and recipe.strategy != "hsdp"
    return Traffic(sent, sent if crosses else 0.0, is_sharded=True)


def _sharded_gb(recipe: Recipe, ranks: int, gradients: float) -> float:
    """Return the GB of a pass over so many ranks; an adapter's weights are gathered in float32."""
    width = 4 if recipe.precision == "float32" else 2
    weights = width * find_family(recipe.family).cost.parameters(recipe)
    weights += 4 * trained_parameters(recipe) if recipe.adapter else 0
    return _ring(ranks) * (2 * weights / 1e9 + gradients)


def _ring(ranks: int) -> float:
    return (ranks - 1) / ranks


def communication_lines(
    recipe: Recipe, gpu: str, cluster: Cluster, passes: float, step: float
) -> Iterator[str]:
    """Yield the traffic of a step that computes for `step` seconds, and its share of the step."""
    traffic = step_traffic(recipe, cluster, passes)
    sent = traffic.seconds(gpu, cluster)
    label = "communication    "
    if sent is None:
        rate = traffic.between * GBIT_PER_GB / (step * SMALL_SHARE / (1 - SMALL_SHARE))
        yield (
            f"{label}{traffic.between:.2g} GB a step leave each node: {SMALL_SHARE:.0%} of a step "
            f"if its network has {rate:,.3g} Gbit/s; --link says what it has"
        )
        return
    most = "at most " * traffic.is_sharded  # the rest overlaps with computing
    hours = recipe.steps * (step + sent) * cluster.gpus / 3600
    yield (
        f"{label}{traffic.within:.2g} GB a step leave each GPU{_between(traffic, cluster)}: "
        f"{most}{sent:.2g} s, {sent / (step + sent):.1%} of a step; {hours:,.1f} GPU-hours with it"
    )


def _between(traffic: Traffic, cluster: Cluster) -> str:
    if not traffic.between:
        return ""
    return f", {traffic.between:.2g} GB each node at {cluster.link_gbit:g} Gbit/s"


def checkpoint_lines(
    recipe: Recipe, gpu: str, cluster: Cluster, gigabytes: float, step: float
) -> Iterator[str]:
    """Yield what several nodes send to the shared disk, for checkpoints of so many GB."""
    if cluster.nodes == 1:
        return
    every = min(recipe.checkpoints.every, recipe.steps)
    traffic = checkpoint_traffic(recipe, cluster, gigabytes)
    sent = traffic.seconds(gpu, cluster)
    gathered = f"; each is gathered before in {sent:.2g} s" if traffic.between and sent else ""
    rate = 1000 * gigabytes / (every * step)
    yield (
        f"written          {math.ceil(recipe.steps / every)} checkpoints of {gigabytes:.3g} GB, "
        f"{gigabytes / cluster.nodes:.2g} GB from each node: {rate:.2g} MB/s of the shared disk on "
        f"average{gathered}"
    )
