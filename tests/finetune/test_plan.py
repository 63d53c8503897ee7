"""The plan counts what the network really is, and says what fits."""

from __future__ import annotations

import pytest
import torch

from finetune.__main__ import main
from finetune.config import Bucket, Network
from finetune.errors import EngineError
from finetune.models.config import STDiT2Config
from finetune.models.stdit2 import STDiT2
from finetune.plan import cost, parameters, plan
from tests.finetune.conftest import MakeRecipe


@pytest.mark.parametrize("depth", [1, 28])
def test_parameters_are_those_of_the_network(depth: int) -> None:
    with torch.device("meta"):
        model = STDiT2(STDiT2Config(depth=depth))
    counted = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert parameters(Network(depth=depth)) == counted


def test_a_clip_costs_what_was_measured(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(network=Network())
    found = cost(Bucket(resolution="360p", frames=32, batch=8), recipe)
    assert found.tokens == 32 * 23 * 40
    assert found.tflop == pytest.approx(130.4, rel=0.02)


def test_the_plan_names_what_fits(make_recipe: MakeRecipe) -> None:
    big = make_recipe(
        network=Network(), buckets=(Bucket(resolution="360p", frames=32, batch=8, micro=2),)
    )
    with pytest.raises(EngineError, match="micro = 1 fits"):
        plan(big, gpu="h200", gpus=1)
    with pytest.raises(EngineError, match="recompute = true fits"):
        plan(big, gpu="a100-40", gpus=1)
    with pytest.raises(EngineError, match="no GPU 'h1000'"):
        plan(big, gpu="h1000", gpus=1)


def test_the_command_prints_a_plan_and_one_line_for_an_error(
    tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["nowhere.toml"])
    assert left.value.code == 1
    assert capsys.readouterr().err.startswith("error: no recipe 'nowhere.toml'")
