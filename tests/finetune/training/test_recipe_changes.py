"""A resumed run goes on with its recipe: what differs is named, field by field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from finetune.config import Bucket, Checkpoints, Log, Optimizer, Recipe, Schedule
from finetune.errors import CheckpointError, ConfigError
from finetune.training.recipe_changes import added_buckets, resumed_recipe
from tests.finetune.conftest import MakeRecipe


def resumed(recipe: Recipe, now: Recipe, allow: Sequence[str] = ()) -> Recipe:
    return resumed_recipe(now, {"recipe": recipe.as_dict()}, allow, "run/step-2")


def test_steps_logging_and_checkpoints_may_change(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    (bucket,) = recipe.buckets
    now = replace(
        recipe,
        steps=9,
        log=Log(to="none", every=5),
        checkpoints=Checkpoints(every=1),
        init="elsewhere",
        buckets=(replace(bucket, micro_batch_size=1),),
    )
    assert resumed(recipe, now) == now


@pytest.mark.parametrize(
    ("changed", "key", "message"),
    [
        ({"seed": 7}, "seed", r"seed was 42, is 7"),
        ({"schedule": Schedule(peak=1.0)}, "schedule", r"schedule\.peak was 1e-05, is 1\.0"),
        (
            {"buckets": (Bucket(resolution="144p", frames=4, batch_size=3),)},
            "buckets.batch_size",
            r"buckets\.batch_size was 2, is 3",
        ),
        ({"caption_dropout": 0.5}, "caption_dropout", r"caption_dropout was 0\.1, is 0\.5"),
    ],
)
def test_another_setting_is_named_and_may_be_allowed(
    changed: dict[str, Any], key: str, message: str, make_recipe: MakeRecipe
) -> None:
    recipe, now = make_recipe(), make_recipe(**changed)
    with pytest.raises(CheckpointError, match=rf"another recipe: {message}.* --allow {key}"):
        resumed(recipe, now)
    assert resumed(recipe, now, [key]) == now
    with pytest.raises(CheckpointError, match=message):
        resumed(recipe, now, ["frame_masks"])


def test_a_network_never_changes(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    deeper = replace(recipe, network=replace(recipe.network, depth=2))
    with pytest.raises(CheckpointError, match=r"another network \(network\.depth was 1, is 2\)"):
        resumed(recipe, deeper, ["network"])


def test_a_batch_size_may_make_up_for_the_number_of_ranks(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    (bucket,) = recipe.buckets
    now = replace(recipe, buckets=(replace(bucket, batch_size=4),))
    manifest = {"recipe": recipe.as_dict(), "world": 2}
    assert resumed_recipe(now, manifest, (), "run/step-2") == now


def test_a_key_that_no_recipe_has_is_not_allowed(make_recipe: MakeRecipe) -> None:
    for key in ("sede", "schedule.peek", "seed.x"):
        with pytest.raises(ConfigError, match=f"--allow {key}: a recipe has no such key"):
            resumed(make_recipe(), make_recipe(), [key])


def test_a_checkpoint_of_before_the_warm_up_goes_on_without(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    manifest: dict[str, Any] = {"recipe": recipe.as_dict()}
    del manifest["recipe"]["optimizer"]["ema_warmup"]
    now = resumed_recipe(recipe, manifest, (), "run/step-2")
    assert now.optimizer == Optimizer(ema_warmup=False)


def test_an_added_bucket_has_to_be_allowed(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    more = replace(
        recipe, buckets=(*recipe.buckets, Bucket(resolution="144p", frames=1, batch_size=2))
    )
    with pytest.raises(CheckpointError, match=r"buckets was '144p x 4', is '144p x 4, 144p x 1'"):
        resumed(recipe, more)
    assert resumed(recipe, more, ["buckets"]) == more
    assert added_buckets(more, {"recipe": recipe.as_dict()}) == {"144p x 1"}
