"""Find JSON objects in the text of a reply, however a model wraps them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_END_OF_THOUGHT = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_BEGINS_OBJECT = re.compile(r'\{\s*["}]')
_decoder = json.JSONDecoder(strict=False)  # servers without schemas pass line breaks in strings


def last_object(text: str, *, key: str) -> Mapping[str, Any] | None:
    """Return the last JSON object with this key, past thoughts, prose and code fences."""
    found = [value for value in _objects(without_thoughts(text)) if key in value]
    return found[-1] if found else None


def is_prose(text: str) -> bool:
    """Return True if a text holds words and no JSON object, not even a broken one."""
    said = without_thoughts(text)
    return bool(said) and not _BEGINS_OBJECT.search(said)


def without_thoughts(text: str) -> str:
    """Remove what a model thinks aloud before it answers; an unclosed thought has no answer."""
    return _END_OF_THOUGHT.sub("", _THOUGHT.sub("", text)).strip()


def one_line(text: str) -> str:
    """Return a text on one line, without control characters and lone surrogates."""
    return " ".join(_UNPRINTABLE.sub("", " ".join(text.split())).split())


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    start = text.find("{")
    while start >= 0:
        try:
            value, end = _decoder.raw_decode(text, start)
            yield value
        except (json.JSONDecodeError, RecursionError):
            end = start + 1
        start = text.find("{", end)
