"""Compare a recipe with that of the checkpoint it resumes, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from finetune.config import Recipe, recipe_from_manifest
from finetune.engines.distributed import rank_and_world_size
from finetune.errors import CheckpointError, ConfigError

FREE = (
    *("steps", "out", "log", "checkpoints", "validation", "published"),
    *("dataset", "cache", "init", "workers", "threads", "device", "compile", "kernels"),
    *("keep_attention", "offload_blocks"),
    *("engine", "strategy"),
    *("buckets.micro_batch_size", "buckets.activation_checkpointing"),
)
"""Keys that a resumed run may change: they do not change what the next step computes.

The dataset's rows are compared by their fingerprint; `init` was read when the run began, except the
base of an adapter, which is read again.
"""
FIXED = ("family", "network")
"""Keys that a checkpoint's weights have the shape of."""


class Change(NamedTuple):
    """A setting that differs, with dots between tables."""

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} was {self.before!r}, is {self.now!r}"

    def is_of_ranks(self, before: int, now: int) -> bool:
        """Tell if another number of ranks makes up for it: a step has as many clips as before."""
        return self.key == "buckets.batch_size" and self.before * before == self.now * now

    def is_of_kernel(self) -> bool:
        """Tell if it is another implementation of AdamW with the same numbers."""
        return self.key == "optimizer.kind" and "adamw_8bit" not in (self.before, self.now)

    def is_below(self, keys: Sequence[str]) -> bool:
        """Tell if one of these keys is this one, or a table that holds it."""
        return any(f"{self.key}.".startswith(f"{key}.") for key in keys)


def resumed_recipe(
    recipe: Recipe, manifest: Mapping[str, Any], allow: Sequence[str], origin: str
) -> Recipe:
    """Return the recipe to resume with; raise CheckpointError for settings that changed.

    allow: keys, or tables of keys, that may differ all the same. A checkpoint of before
    `ema_warmup` goes on without.
    """
    _check_keys(recipe, allow)
    before = recipe_from_manifest(manifest["recipe"], origin=origin)
    if "ema_warmup" not in manifest["recipe"].get("optimizer", {}):
        warmup = before.optimizer.ema_warmup
        recipe = replace(recipe, optimizer=replace(recipe.optimizer, ema_warmup=warmup))
    ranks = manifest.get("world", 1), rank_and_world_size()[1]
    found = _changes(before.as_dict(), recipe.as_dict())
    changes = [c for c in found if not (c.is_of_ranks(*ranks) or c.is_of_kernel())]
    if fixed := [change for change in changes if change.is_below(FIXED)]:
        raise CheckpointError(
            f"{origin} is of another network ({'; '.join(map(str, fixed))}): set the recipe to "
            "match, or name another out"
        )
    free = [key for key in FREE if not (recipe.adapter and key == "init")]
    refused = [change for change in changes if not change.is_below((*free, *allow))]
    if refused:
        options = " ".join(f"--allow {key}" for key in dict.fromkeys(c.key for c in refused))
        raise CheckpointError(
            f"{origin} was trained with another recipe: {'; '.join(map(str, refused))}. Set the "
            f"old values, or resume with the new ones by {options}"
        )
    return recipe


def added_buckets(recipe: Recipe, manifest: Mapping[str, Any]) -> set[str]:
    """Return the names of buckets that the checkpoint's recipe did not have."""
    before = recipe_from_manifest(manifest["recipe"], origin="the checkpoint")
    return set(map(str, recipe.buckets)) - set(map(str, before.buckets))


def _check_keys(recipe: Recipe, allow: Sequence[str]) -> None:
    settings = recipe.as_dict()
    for key in allow:
        table, _, name = key.partition(".")
        within = settings.get(table)
        inner = within[0] if isinstance(within, tuple) else within
        if table not in settings or (name and not (isinstance(inner, dict) and name in inner)):
            raise ConfigError(f"--allow {key}: a recipe has no such key; name one that differs")


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    buckets = _by_name(before["buckets"]), _by_name(now["buckets"])
    if list(buckets[0]) != list(buckets[1]):
        yield Change("buckets", ", ".join(buckets[0]), ", ".join(buckets[1]))
    for name in buckets[0].keys() & buckets[1].keys():
        yield from _table_changes("buckets.", buckets[0][name], buckets[1][name])
    rest = [{k: v for k, v in table.items() if k != "buckets"} for table in (before, now)]
    yield from _table_changes("", *rest)


def _table_changes(
    prefix: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Change]:
    for key, new in now.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _table_changes(f"{prefix}{key}.", old, new)
        elif old != new:
            yield Change(f"{prefix}{key}", old, new)


def _by_name(buckets: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {f"{bucket['resolution']} x {bucket['frames']}": bucket for bucket in buckets}
