"""The recipes that ship: what they ask for is what was published, and a plan of each prints."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from finetune import config
from finetune.cli import main
from finetune.config import load_recipe
from finetune.training.lr_schedule import learning_rate
from tests.kit import ROOT
from tests.kit.recipe_tables import HEAD, PAGE, SECTIONS, page_with_tables, rows

STAGES = ("32f-stage1", "32f-stage2", "64f-stage1", "64f-stage2")
HOURS = {"32f-stage1": 67.84, "32f-stage2": 101.76, "64f-stage1": 160.0, "64f-stage2": 857.6}
GOLDEN = json.loads((ROOT / "tests/kit/golden/lr_schedules.json").read_text())


def of(model: str) -> dict[str, float]:
    """The published rates of a model, by its name's beginning."""
    kind = {"32f": "1cycle", "64f": "cosine_const"}[model]
    (rates,) = (found for name, found in GOLDEN.items() if name.startswith(kind))
    return rates


@pytest.mark.parametrize("stage", STAGES)
def test_the_rate_is_the_published_one_at_every_step_of_the_stage(stage: str) -> None:
    recipe = load_recipe(f"text2bricks/{stage}")
    begin = recipe.schedule.offset
    found = {int(n): rate for n, rate in of(stage[:3]).items() if int(n) >= begin}
    assert found
    for step, rate in found.items():
        assert learning_rate(recipe.schedule, step - begin) == pytest.approx(rate, rel=1e-4)


def test_stage_two_goes_on_where_stage_one_ends() -> None:
    for model in ("32f", "64f"):
        one, two = (load_recipe(f"text2bricks/{model}-stage{n}") for n in (1, 2))
        assert two.schedule.offset == one.steps
        assert two.init == f"{one.out}/step-{one.steps:08}/model"
        assert (two.seed, two.frame_interval, two.frame_masks) == (
            one.seed,
            one.frame_interval,
            True,
        )


def test_batches_intervals_and_seeds_are_the_published_ones() -> None:
    found = {}
    for stage in STAGES:
        recipe = load_recipe(f"text2bricks/{stage}")
        buckets = {bucket.frames: bucket.batch_size for bucket in recipe.buckets}
        found[stage] = (buckets, recipe.frame_interval, recipe.seed, recipe.checkpoints.every)
        assert (recipe.optimizer.grad_clip, recipe.optimizer.ema) == (1.0, 0.9999)
        assert (recipe.optimizer.weight_decay, len(recipe.validation.prompts)) == (0.0, 8)
    assert found == {
        "32f-stage1": ({32: 8}, 4, 1024, 250),
        "32f-stage2": ({32: 8}, 4, 1024, 250),
        "64f-stage1": ({16: 9}, 2, 42, 500),
        "64f-stage2": ({64: 4, 32: 8, 1: 256}, 2, 42, 500),
    }


@pytest.mark.parametrize("stage", STAGES)
def test_a_plan_on_the_published_hardware_prints_and_fits(
    stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["plan", f"text2bricks/{stage}", "--gpu", "h100", "--gpus", "32"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert f"published        {HOURS[stage]:g} on H100" in printed
    assert "32 x H100" in printed


@pytest.mark.parametrize("path", sorted(Path("recipes").rglob("*.toml")), ids=lambda p: p.stem)
def test_a_recipe_opens_with_command_hardware_hours_and_cost(path: Path) -> None:
    opening = path.read_text().split("dataset =")[0]
    assert "finetune train" in opening
    for words in (("GPU", "CPU"), ("hours", "minutes"), ("USD", "nothing to pay")):
        assert any(word in opening for word in words), words


def test_the_tables_of_settings_are_those_of_the_code() -> None:
    """`python -m tests.kit.recipe_tables` writes them."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with_tables(page)
    assert page.count(HEAD[0]) == len(SECTIONS)
    documented = {settings.__name__ for settings in SECTIONS.values()}
    assert {name for name, kind in vars(config).items() if dataclasses.is_dataclass(kind)} == (
        documented
    )


@pytest.mark.parametrize("settings", SECTIONS.values(), ids=lambda settings: settings.__name__)
def test_every_setting_has_a_meaning(settings: type) -> None:
    assert not [row for row in rows(settings) if row.endswith("|  |")]
