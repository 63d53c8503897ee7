"""Digests of settings: sha256 of canonical JSON, unchanged when code is renamed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

NAMES_IN_DIGESTS: Mapping[str, str] = {
    "Captioner": "GPT4oCaptioner",
    "FetchVideo": "FetchFilm",
    "FrameDifference": "Drawings",
    "ListVideos": "ListFilms",
    "RefetchVideo": "RefetchFilm",
    "TimestampAnalyzer": "Timeline",
}
"""Class name to the name under which its first answers were stored.

A renamed class or field (`Class.field`) gets a line here, so that stored answers stay valid.
"""


def digest_of(value: Any, length: int = 16) -> str:
    """Return the first hex digits of the sha256 of a value's canonical JSON."""
    text = canonical_json(value)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def canonical_json(value: Any) -> str:
    """Return the JSON text that digests are of: sorted, without spaces, not escaped."""
    if type(value) is list or type(value) is tuple:
        return f"[{','.join(map(canonical_json, value))}]"
    if type(value) is str:
        return _json_of_text(value) if len(value) > LONG_TEXT else json_of_plain(value)
    return json_of_plain(_to_json_value(value))


def json_of_plain(value: Any) -> str:
    """Return `canonical_json` of a value that is JSON already."""
    return _ENCODER.encode(value)


LONG_TEXT = 1000
"""Characters from which on a text's JSON is kept: the prompts, which are in every key."""


@lru_cache(64)
def _json_of_text(text: str) -> str:
    return json_of_plain(text)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_name(cls: type) -> str:
    """Return the name of a class under which its answers are stored."""
    return NAMES_IN_DIGESTS.get(cls.__name__, cls.__name__)


def field_added_later(default: Any) -> Any:
    """Declare a setting that was added after the first release of its stage.

    At its default it enters no digest, so answers stored by older versions stay valid.
    """
    return field(default=default, metadata={"added": True})


def digest_fields(owner: object) -> dict[str, Any]:
    """Return the fields that enter a digest, the compared ones, by stored name."""
    compared = [f for f in fields(owner) if f.compare] if is_dataclass(owner) else []
    values = {f.name: (f, getattr(owner, f.name)) for f in compared}
    return {
        NAMES_IN_DIGESTS.get(f"{type(owner).__name__}.{name}", name): value
        for name, (f, value) in values.items()
        if not ("added" in f.metadata and value == f.default)
    }


def seal(text: str) -> str:
    """Return the digest that is stored beside a JSON text, to find damage in it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_sealed(text: str, digest: str | None) -> dict[str, Any] | None:
    """Return a stored JSON object; None if it is damaged. Without a digest it is only parsed."""
    if digest not in (None, seal(text)):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def with_digest(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its own digest inside, under the key "digest"."""
    return {**content, "digest": digest_of(content)}


def without_digest(content: Any) -> dict[str, Any]:
    """Return the object of `with_digest`; raise ValueError if it is damaged.

    An object without a digest, as earlier versions wrote it, is returned as it is.
    """
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    rest = {name: value for name, value in content.items() if name != "digest"}
    if content.get("digest") not in (None, digest_of(rest)):
        raise ValueError("its digest is of another content")
    return rest


def _to_json_value(value: Any) -> Any:
    """Convert a value to JSON: its digest if it has one, a dataclass by its compared fields."""
    if type(value) is str:  # most are, and an enum of texts is not
        return value
    match value:
        case Enum():
            return value.value
        case Fraction() | Path():
            return str(value)
        case Mapping():
            return {str(k): _to_json_value(v) for k, v in value.items()}
        case frozenset() | set():
            return sorted(_to_json_value(v) for v in value)
        case list() | tuple():
            return [_to_json_value(v) for v in value]
        case str() | int() | float() | bool() | None:
            return value
    if isinstance(digest := getattr(value, "digest", None), str):
        return digest
    if is_dataclass(value):
        return [digest_name(type(value)), _to_json_value(digest_fields(value))]
    raise TypeError(f"{value!r} cannot enter a digest: use a plain value or compare=False")
