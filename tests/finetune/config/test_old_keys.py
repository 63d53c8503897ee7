"""Keys of earlier versions: an error in a recipe, renamed in a checkpoint's manifest."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from finetune.config import (
    Bucket,
    Checkpoints,
    LossSpikes,
    Recipe,
    Validation,
    parse_recipe,
    recipe_from_manifest,
)
from finetune.config.old_keys import OLD_KEYS, rename_old_keys
from finetune.errors import ConfigError

TABLES = {
    "": Recipe,
    "buckets": Bucket,
    "loss_spikes": LossSpikes,
    "checkpoints": Checkpoints,
    "validation": Validation,
}
OLD: dict[str, Any] = {
    "dataset": "somewhere",
    "out": "run",
    "steps": 1,
    "buckets": [
        {
            "resolution": "144p",
            "frames": 2,
            "batch": 4,
            "micro": 2,
            "keep": 0.5,
            "recompute": True,
        },
        {"resolution": "144p", "frames": 1, "batch": 8},
    ],
    "source": "pixels",
    "long_text": "cut",
    "masks": False,
    "fps": "seen",
    "guard": {"spike": 5.0, "after": 3, "stop_after": 2},
    "checkpoints": {"keep": 1, "milestone": 100},
    "validation": {"prompts": "eight"},
}
NEW = Recipe(
    dataset="somewhere",
    out="run",
    steps=1,
    buckets=(
        Bucket(
            resolution="144p",
            frames=2,
            batch_size=4,
            micro_batch_size=2,
            keep_prob=0.5,
            activation_checkpointing=True,
        ),
        Bucket(resolution="144p", frames=1, batch_size=8),
    ),
    latents="online",
    long_captions="truncate",
    frame_masks=False,
    fps="sampled",
    loss_spikes=LossSpikes(threshold=5.0, warmup_steps=3, max_consecutive_skips=2),
    checkpoints=Checkpoints(keep_last=1, keep_every=100),
    validation=Validation(prompts="default"),
)


def test_a_manifest_is_read_with_its_old_keys() -> None:
    assert recipe_from_manifest(OLD, origin="manifest.json") == NEW


def test_a_manifest_of_today_is_read_as_it_is() -> None:
    assert recipe_from_manifest(NEW.as_dict(), origin="manifest.json") == NEW


def test_every_old_key_is_an_error_that_names_the_new_one() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_recipe(OLD, origin="old.toml")
    assert str(raised.value).removeprefix("old.toml: ").split("; ") == [
        "guard is now loss_spikes",
        "masks is now frame_masks",
        'long_text = "cut" is now long_captions = "truncate"',
        'source = "pixels" is now latents = "online"',
        'fps = "seen" is now fps = "sampled"',
        "batch is now batch_size",
        "micro is now micro_batch_size",
        "keep is now keep_prob",
        "recompute is now activation_checkpointing",
        "loss_spikes.spike is now loss_spikes.threshold",
        "loss_spikes.after is now loss_spikes.warmup_steps",
        "loss_spikes.stop_after is now loss_spikes.max_consecutive_skips",
        "checkpoints.keep is now checkpoints.keep_last",
        "checkpoints.milestone is now checkpoints.keep_every",
        'validation.prompts = "eight" is now validation.prompts = "default"',
    ]


def test_old_keys_lead_to_keys_that_exist() -> None:
    for old, new in OLD_KEYS.items():
        table, _, key = old.rpartition(".")
        names = {field.name for field in fields(TABLES[table])}
        assert new.name in names
        assert key not in names or new.values


def test_renaming_leaves_its_argument_as_it_was() -> None:
    before = repr(OLD)
    rename_old_keys(OLD)
    assert repr(OLD) == before


def test_a_table_of_another_type_is_left_to_the_check_of_types() -> None:
    with pytest.raises(ConfigError, match="buckets = 3"):
        recipe_from_manifest({**OLD, "buckets": 3}, origin="manifest.json")
