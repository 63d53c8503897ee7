"""Run a preflight on every rank: what each has, then what lies between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from finetune.config import Recipe
from finetune.engines.distributed import choose_device
from finetune.errors import ConfigError
from finetune.planning.links import node_link_gb_s
from finetune.preflight.cached_data import compare_data
from finetune.preflight.checks import (
    Check,
    check_clocks,
    check_data,
    check_facts,
    check_folders,
    check_links,
    failed,
)
from finetune.preflight.facts import RankFacts, load_settings, read_facts
from finetune.preflight.folders import probe_folder
from finetune.preflight.links import LinkSpeed, measure_links, network_gb_s
from finetune.preflight.ranks import Ranks, joined_ranks
from finetune.preflight.report import PreflightReport
from finetune.preflight.streamed_data import check_streams, view_streams

STOPS = ("recipe", "GPUs")
"""Checks without which ranks would measure different things, and wait for each other."""


def preflight(
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    link_gbit: float | None = None,
    timeout: float = 600,
) -> PreflightReport:
    """Check the ranks that torchrun started, or this process; every rank gets the same report.

    link_gbit: Gbit/s that the network of a node should give; by default what its drivers report.
    timeout: seconds that a rank may be silent. Raise ConfigError if no rank can read the recipe,
    EngineError with the ranks that do not answer.
    """
    settings, problem = load_settings(recipe, overrides)
    device = choose_device(settings) if settings else torch.device("cpu")
    with joined_ranks(device, timeout) as ranks:
        facts = ranks.gather("facts", read_facts(ranks.rank, ranks.node, settings, problem))
        if all(fact.problem == problem for fact in facts) and problem:
            raise ConfigError(problem)
        checks = check_facts(facts, settings, problem)
        report = PreflightReport(facts=facts, checks=checks)
        if settings is None or failed([check for check in checks if check.name in STOPS]):
            return report
        return _measure(ranks, settings, device, report, link_gbit)


def _measure(
    ranks: Ranks,
    recipe: Recipe,
    device: torch.device,
    report: PreflightReport,
    link_gbit: float | None,
) -> PreflightReport:
    """Return the report with clocks, folders, data and links; every rank must call."""
    offsets = ranks.gather("clocks", ranks.clock_offset())
    clocks = {node: offsets[members[0]] for node, members in ranks.of_nodes.items()}
    keys = {"out": recipe.out} | ({"cache": recipe.cache} if recipe.cache != recipe.out else {})
    folders = [p for key, path in keys.items() for p in probe_folder(ranks, key, Path(path))]
    data = list(_data_checks(ranks, recipe))
    links = measure_links(ranks, device)
    rates = ranks.gather("rates", link_gbit / 8 if link_gbit else network_gb_s())
    expected = expected_speeds(links, report.facts, rates)
    checks = [
        *report.checks,
        check_clocks(clocks),
        *check_folders(folders, recipe),
        *data,
        *check_links(links, expected),
    ]
    return replace(
        report, checks=checks, clocks=clocks, folders=folders, links=links, expected=expected
    )


def _data_checks(ranks: Ranks, recipe: Recipe) -> Iterator[Check]:
    """Yield the checks of the dataset and the cache; every rank must call."""
    if recipe.streaming:
        yield check_streams(view_streams(ranks, recipe), ranks.world_size)
    else:
        yield from check_data(*compare_data(ranks, recipe), recipe.cache)


def expected_speeds(
    links: Sequence[LinkSpeed], facts: Sequence[RankFacts], rates: Sequence[float | None]
) -> Mapping[str, float]:
    """Return the GB/s that each link should give: NVLink within a node, the slowest network across.

    rates: of each rank's node.
    """
    expected = {}
    for link in links:
        members = [fact for fact in facts if fact.node in link.nodes]
        gpu = members[0].gpu
        if len(link.nodes) > 1:
            found = [rates[fact.rank] or 0.0 for fact in members]
            expected[link.name] = min(found)
        elif gpu:
            expected[link.name] = node_link_gb_s(gpu.name)
    return {name: rate for name, rate in expected.items() if rate}
