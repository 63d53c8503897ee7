"""Rename the recipe keys of earlier versions."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class NewKey(NamedTuple):
    """The key that replaces an old one, and its values where those have new names too."""

    name: str
    values: Mapping[str, str] = {}


OLD_KEYS: Mapping[str, NewKey] = {
    "guard": NewKey("loss_spikes"),
    "masks": NewKey("frame_masks"),
    "long_text": NewKey("long_captions", {"cut": "truncate"}),
    "source": NewKey("latents", {"cache": "cached", "pixels": "online"}),
    "fps": NewKey("fps", {"seen": "sampled"}),
    "buckets.batch": NewKey("batch_size"),
    "buckets.micro": NewKey("micro_batch_size"),
    "buckets.keep": NewKey("keep_prob"),
    "buckets.recompute": NewKey("activation_checkpointing"),
    "loss_spikes.spike": NewKey("threshold"),
    "loss_spikes.after": NewKey("warmup_steps"),
    "loss_spikes.stop_after": NewKey("max_consecutive_skips"),
    "checkpoints.keep": NewKey("keep_last"),
    "checkpoints.milestone": NewKey("keep_every"),
    "validation.prompts": NewKey("prompts", {"eight": "default"}),
}
"""Old keys by table, in the order of renaming: `guard` becomes `loss_spikes` before its keys."""


VALUES_BEFORE_KEY: Mapping[tuple[str, str], object] = {("optimizer", "ema_warmup"): False}
"""Behaviour of earlier versions, by keys that they lacked and whose default is another."""


def rename_old_keys(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a recipe's data with today's keys, and a message for each old key in it."""
    renamed, messages = copy.deepcopy(dict(data)), dict[str, None]()
    for old, new in OLD_KEYS.items():
        table_name, _, key = old.rpartition(".")
        for table in _tables(renamed, table_name):
            if key not in table:
                continue
            value = table[key]
            new_value = new.values.get(value, value) if isinstance(value, str) else value
            if (key, value) != (new.name, new_value):
                del table[key]
                table[new.name] = new_value
                messages[_message(old, new, value, new_value)] = None
    return renamed, list(messages)


def _tables(data: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield the tables of this name: the recipe itself, one table, or a list of them."""
    found = data.get(name) if name else data
    yield from (t for t in (found if isinstance(found, list) else [found]) if isinstance(t, dict))


def _message(old: str, new: NewKey, value: object, new_value: object) -> str:
    table = old.rpartition(".")[0]
    prefix = f"{table}." if table not in ("", "buckets") else ""
    before, after = old.removeprefix("buckets."), f"{prefix}{new.name}"
    if value == new_value:
        return f"{before} is now {after}"
    return f"{before} = {json.dumps(value)} is now {after} = {json.dumps(new_value)}"
