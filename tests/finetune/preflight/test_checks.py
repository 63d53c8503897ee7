"""Each fault of a cluster fails its check, with the node and a remedy; a healthy one passes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch.distributed as dist

from finetune.preflight import links as links_module
from finetune.preflight.cached_data import CacheView, ClipCounts
from finetune.preflight.checks import (
    Check,
    check_clocks,
    check_data,
    check_facts,
    check_folders,
    check_links,
)
from finetune.preflight.facts import GpuFacts, RankFacts, driver_version
from finetune.preflight.folders import FolderProbe
from finetune.preflight.links import LinkSpeed, link_nodes, network_gb_s
from finetune.preflight.preflight import expected_speeds
from finetune.preflight.ranks import Ranks
from finetune.preflight.report import PreflightReport
from tests.finetune.conftest import MakeRecipe

GPU = GpuFacts(name="NVIDIA H200", uuid="", total_gib=140, free_gib=139, driver="570.1", tflops=700)


def facts(**of_rank_3: object) -> list[RankFacts]:
    """Two nodes of two ranks, each with a GPU; the last rank has other values."""
    ranks = [
        RankFacts(
            rank=rank,
            node=rank // 2,
            host=f"host{rank // 2}",
            recipe="d1",
            gpu=replace(GPU, uuid=str(rank)),
            versions={"torch": "2.13"},
            settings={"NCCL_IB_HCA": "mlx5"},
            paths={"/set": True, "user/model": False},
            shm_gib=64.0,
        )
        for rank in range(4)
    ]
    return [*ranks[:3], replace(ranks[3], **of_rank_3)]  # type: ignore[arg-type]


def found(checks: Sequence[Check], name: str) -> Check:
    (check,) = [check for check in checks if check.name == name]
    return check


def test_equal_ranks_pass(make_recipe: MakeRecipe) -> None:
    checks = check_facts(facts(), make_recipe(workers=2), "")
    assert {check.status for check in checks} == {"ok"}
    assert {check.name for check in checks} >= {"ranks", "recipe", "GPUs", "versions", "paths"}


@pytest.mark.parametrize(
    ("fault", "name", "detail"),
    [
        ({"versions": {"torch": "2.12"}}, "versions", "has torch 2.12, the others 2.13"),
        ({"versions": {}}, "versions", "has torch none, the others 2.13"),
        ({"settings": {}}, "settings", "has NCCL_IB_HCA none, the others mlx5"),
        ({"recipe": "d2"}, "recipe", "has settings d2, the others d1"),
        ({"problem": "no.toml is missing"}, "recipe", "no.toml is missing"),
        ({"paths": {"/set": False, "user/model": False}}, "paths", "does not have /set"),
        ({"gpu": replace(GPU, uuid="2")}, "GPUs", "share a GPU"),
        ({"gpu": replace(GPU, driver="535.2")}, "GPUs", "has driver 535.2, the others 570.1"),
        ({"gpu": None}, "GPUs", "has GPU none, the others NVIDIA H200"),
        ({"gpu": replace(GPU, free_gib=20)}, "memory", "has 20 of 140 GiB free"),
    ],
)
def test_a_fault_of_a_rank_fails_and_names_it(
    fault: dict[str, object], name: str, detail: str, make_recipe: MakeRecipe
) -> None:
    check = found(check_facts(facts(**fault), make_recipe(), ""), name)
    assert check.status == "failed"
    assert detail in check.detail
    assert "rank 3 (node 1, host1)" in check.detail


def test_what_only_slows_a_run_is_a_warning(make_recipe: MakeRecipe) -> None:
    slow = check_facts(facts(gpu=replace(GPU, tflops=300)), make_recipe(), "")
    assert found(slow, "speed") == Check(
        "speed",
        "warning",
        "rank 3 (node 1, host1): 300; the median is 700 TFLOP/s: look at clocks and temperature",
    )
    small = check_facts(facts(shm_gib=1 / 16), make_recipe(workers=2), "")
    assert found(small, "/dev/shm").status == "warning"
    assert "has 64 MiB" in found(small, "/dev/shm").detail
    assert found(check_facts(facts()[:3], make_recipe(), ""), "ranks").status == "warning"
    hsdp = found(check_facts(facts()[:3], make_recipe(strategy="hsdp"), ""), "ranks")
    assert (hsdp.status, "2 on node 0, 1 on node 1; hsdp" in hsdp.detail) == ("failed", True)
    assert check_clocks({0: 0.0, 1: 0.4}).status == "ok"
    assert check_clocks({0: 0.0, 1: -2.0}).status == "warning"
    assert check_clocks({0: 0.0, 1: 301.0}).status == "failed"


def probe(node: int = 0, **fields: object) -> FolderProbe:
    seen = FolderProbe(key="out", folder="/shared/run", node=node, visible=True)
    return replace(seen, write_mib_s=400, read_mib_s=500, free_gib=900, **fields)  # type: ignore[arg-type]


def test_folders_are_shared_writable_and_have_room(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    shared, room = check_folders([probe(), probe(1)], recipe)
    assert (shared.status, room.status) == ("ok", "ok")
    unmounted, _ = check_folders([probe(), replace(probe(1), visible=False)], recipe)
    assert unmounted.status == "failed"
    assert "node 1 does not see what node 0 writes in /shared/run" in unmounted.detail
    full, _ = check_folders([probe(), probe(1, problem="No space left on device")], recipe)
    assert (full.status, "node 1: No space left" in full.detail) == ("failed", True)
    _, little = check_folders([probe(), replace(probe(1), free_gib=0.0)], recipe)
    assert little.status == "failed"
    assert "0.0 GiB free" in little.detail


VIEW = CacheView(node=0, fingerprint="f", digests={"keys.npy": "k"}, sizes={"a.safetensors": 9})


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        ({"fingerprint": "g"}, "node 1 has another index of the dataset than node 0"),
        ({"digests": {"keys.npy": "l"}}, "node 1 has another keys.npy than node 0"),
        ({"sizes": {}}, "node 1 has another a.safetensors than node 0"),
        ({"problems": ("a.safetensors is damaged",)}, "node 1: a.safetensors is damaged"),
    ],
)
def test_a_cache_that_differs_fails(fault: dict[str, object], detail: str) -> None:
    counts = ClipCounts(usable=6)
    assert [check.status for check in check_data([VIEW, VIEW], counts, "c")] == ["ok", "ok"]
    other = replace(VIEW, node=1, **fault)  # type: ignore[arg-type]
    _, cache = check_data([VIEW, other], counts, "c")
    assert cache.status == "failed"
    assert detail in cache.detail


def test_clips_that_are_not_cached_are_counted() -> None:
    dataset, _ = check_data([VIEW], ClipCounts(usable=4, not_cached=2), "c")
    assert dataset.status == "warning"
    assert "2 are not in the cache: run `finetune cache`" in dataset.detail
    (none,) = check_data([VIEW], ClipCounts(problem="no dataset at x"), "c")
    assert none == Check("dataset", "failed", "no dataset at x")


def link(*nodes: int, gb_s: float = 40.0) -> LinkSpeed:
    return LinkSpeed(nodes=nodes, ranks=2 * len(nodes), gb_s=gb_s, latency_us=30.0)


def test_a_link_is_slow_beside_its_rate_or_the_others() -> None:
    expected = {"node 0 - node 1": 50.0}
    assert [c.status for c in check_links([link(0, 1)], expected)] == ["ok"]
    (slow,) = check_links([link(0, 1, gb_s=10)], expected)
    assert slow.status == "failed"
    assert "node 0 - node 1: 10 GB/s, it should give 50" in slow.detail
    ring = [link(0, 1), link(1, 2), link(2, 3), link(3, 0, gb_s=4)]
    (slow,) = check_links(ring, {})
    assert slow.detail.startswith("node 3 - node 0: 4 GB/s, the median is 40: ")
    assert not list(check_links([], {}))


def test_links_are_those_of_the_ring_of_nodes() -> None:
    assert list(link_nodes([0])) == [(0,)]
    assert list(link_nodes([0, 1])) == [(0,), (1,), (0, 1)]
    ring = [(0, 1), (1, 2), (2, 0)]
    assert list(link_nodes([0, 1, 2])) == [(0,), (1,), (2,), *ring, (0, 1, 2)]


def test_expected_speeds_are_of_nvlink_and_the_slowest_network() -> None:
    links = [link(0), link(1), link(0, 1)]
    rates = [50.0, 50.0, None, None]
    assert expected_speeds(links, facts(), [50.0, 50.0, 25.0, 25.0]) == {
        "within node 0": 450.0,
        "within node 1": 450.0,
        "node 0 - node 1": 25.0,
    }
    assert "node 0 - node 1" not in expected_speeds(links, facts(), rates)


def test_the_driver_is_unknown_without_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert driver_version() == "unknown"


def test_the_networks_rate_is_what_the_drivers_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_module, "INTERFACES", tmp_path / "net")
    monkeypatch.setattr(links_module, "INFINIBAND", tmp_path / "infiniband")
    assert network_gb_s() is None
    for name, speed in {"lo": "", "eth0": "25000\n", "virtual": "-1\n"}.items():
        (tmp_path / "net" / name).mkdir(parents=True)
        (tmp_path / "net" / name / "speed").write_text(speed)
    assert network_gb_s() == 25000 / 8000
    for name, state in {
        "mlx5_0": "4: ACTIVE\n",
        "mlx5_1": "1: DOWN\n",
        "mlx5_2": "4: ACTIVE\n",
    }.items():
        port = tmp_path / "infiniband" / name / "ports" / "1"
        port.mkdir(parents=True)
        (port / "rate").write_text("400 Gb/sec (4X NDR)\n")
        (port / "state").write_text(state)
    assert network_gb_s() == 100.0


def test_the_report_shows_tables_and_a_verdict() -> None:
    checks = [Check("ranks", "ok", "4"), Check("clocks", "warning", "2 s"), Check("disk", "ok", "")]
    report = PreflightReport(
        facts=facts(), checks=checks, clocks={0: 0.0, 1: 2.0}, folders=[probe()], links=[link(0, 1)]
    )
    text = "\n".join(report.lines())
    assert "1     host1  2-3    2 x NVIDIA H200, driver 570.1  +2000.0 ms" in text
    assert "out     0     400           500          900.0" in text
    assert "node 0 - node 1  40    unknown      30" in text
    assert text.endswith("\nready, 1 warning(s)")
    bad = replace(report, checks=[*checks, Check("links", "failed", "slow")])
    assert json.loads(bad.as_json())["verdict"] == "not ready: 1 check(s) failed, 1 warning(s)"
    assert json.loads(report.as_json())["links"][0]["name"] == "node 0 - node 1"


def test_a_rank_that_does_not_answer_is_named() -> None:
    store = dist.HashStore()
    ranks = Ranks(store)
    ranks.world_size, ranks.of_nodes = 4, {0: [0, 1], 1: [2, 3]}
    ranks.gather("facts")
    store.set("preflight/facts/1", "reached")
    error = ranks.late_error(RuntimeError("Timed out waiting 4000ms\nmore"))
    assert "waited in vain at 'facts' for rank 2, 3 (node 1)" in str(error)
    assert str(error).endswith("(Timed out waiting 4000ms)")
