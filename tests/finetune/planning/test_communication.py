"""What several GPUs send to each other, and its share of a step."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import pytest

from finetune.cli import main
from finetune.config import load_recipe
from finetune.models.diffusers import WAN_2_1
from finetune.planning.communication import Cluster, step_traffic
from finetune.planning.cost import trained_parameters

CLUSTER = partial(Cluster, gpus=16, nodes=2, link_gbit=200.0)


@pytest.mark.parametrize(
    ("strategy", "within", "between", "seconds_at_200"),
    [
        # 16 ranks in a ring: 2 x 15/16 of 4 bytes a weight, once a step, over the slower link
        ("ddp", 2 * 15 / 16 * 4, 2 * 15 / 16 * 4, 2 * 15 / 16 * 4 / 25),
        # bfloat16 weights twice and float32 gradients once, in each of three passes
        ("fsdp2", 3 * 15 / 16 * 8, 3 * 15 / 16 * 8, 3 * 15 / 16 * 8 / 25),
        # within nodes of eight as FSDP2, between two nodes as ddp, one after the other
        ("hsdp", 3 * 7 / 8 * 8, 3 * 2 / 2 * 4, 3 * 7 / 8 * 8 / 450 + 3 * 4 / 25),
    ],
)
def test_what_ranks_send_is_recomputed_from_its_formula(
    strategy: str, within: float, between: float, seconds_at_200: float
) -> None:
    recipe = load_recipe("wan/1.3b-full", [f"strategy={strategy}"])
    billions = trained_parameters(recipe) / 1e9
    traffic = step_traffic(recipe, CLUSTER(), passes=3)
    assert traffic.within == pytest.approx(within * billions)
    assert traffic.between == pytest.approx(between * billions)
    assert traffic.seconds("h100", CLUSTER()) == pytest.approx(seconds_at_200 * billions)
    assert traffic.seconds("h100", CLUSTER(link_gbit=None)) is None
    one_node = step_traffic(recipe, Cluster(gpus=8), passes=3)
    assert one_node.between == 0
    assert one_node.seconds("h100", Cluster(gpus=8)) == pytest.approx(one_node.within / 450)


def test_an_adapter_sends_its_own_gradients_and_a_sharded_base() -> None:
    lora = load_recipe("wan/14b-lora", ["strategy=fsdp2"])
    base, adapter = WAN_2_1.cost.parameters(lora) / 1e9, trained_parameters(lora) / 1e9
    sent = 15 / 16 * (2 * (2 * base + 4 * adapter) + 4 * adapter)
    assert step_traffic(lora, CLUSTER(), 1).between == pytest.approx(sent)
    assert step_traffic(replace(lora, strategy="ddp"), CLUSTER(), 1).between == pytest.approx(
        2 * 15 / 16 * 4 * adapter
    )


def test_a_plan_of_nodes_says_share_cost_and_checkpoints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = ["plan", "text2bricks/32f-stage1", "dataset=not/here", "--gpu", "h100"]

    def lines(*options: str) -> dict[str, str]:
        with pytest.raises(SystemExit) as told:
            main([*recipe, *options])
        assert told.value.code == 0
        return {line[:17].strip(): line[17:] for line in capsys.readouterr().out.splitlines()}

    four = lines("--nodes", "4", "--gpus-per-node", "8", "--link", "400", "--price", "2.5")
    assert four["hardware"].startswith("32 x H100")
    hours = float(four["GPU-hours"].split()[0])
    assert float(four["cost"].split()[0]) == pytest.approx(2.5 * hours, rel=0.01)
    found = re.search(
        r"at 400 Gbit/s: ([\d.]+) s, ([\d.]+)% .*; ([\d.]+) GPU", four["communication"]
    )
    assert found
    sent, share, with_it = map(float, found.groups())
    assert sent == pytest.approx(2 * 31 / 32 * 2 * 0.7675 / 50, rel=0.02)  # ZeRO, in bfloat16
    assert share / 100 == pytest.approx(1 - hours / with_it, abs=0.003)
    assert four["written"].startswith("6 checkpoints of 12.3 GB, 3.1 GB from each node")
    unknown = lines("--nodes", "4", "--gpus", "32")
    rate = re.search(r"10% of a step if its network has ([\d.]+) Gbit/s", unknown["communication"])
    assert rate
    at_that = lines("--nodes", "4", "--gpus", "32", "--link", rate[1])
    assert "s, 10.0% of a step" in at_that["communication"]
    assert "communication" not in lines()
    assert "written" not in lines("--gpus", "8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nodes", "2", "--gpus", "7"], "7 GPUs are not a multiple of 2 nodes: set --gpus-per-n"),
        (["--nodes", "2", "--gpus-per-node", "4", "--gpus", "9"], "--gpus 9 is not 2 nodes of 4"),
    ],
)
def test_nodes_that_cannot_be_are_named(
    options: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as told:
        main(["plan", "tiny/cpu", *options])
    assert told.value.code == 2
    assert message in capsys.readouterr().err
