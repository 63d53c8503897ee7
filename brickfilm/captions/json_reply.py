"""Find JSON objects in the text of a reply, however a model wraps them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_END_OF_THOUGHT = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_BEGINS_OBJECT = re.compile(r'\{\s*"')
_LIKE_OBJECT = re.compile(r"""\{\s*(?:["'}]|\w+\s*:)""")
"""An object, or an attempt at one: with single quotes, or none."""
_LETTER = re.compile(r"[^\W\d_]")
MAX_STARTS = 200
"""Places where an object may begin, from the end; a model that repeats itself writes thousands."""
_decoder = json.JSONDecoder(strict=False)  # servers without schemas pass line breaks in strings


def last_object(text: str, *, key: str) -> Mapping[str, Any] | None:
    """Return the last JSON object with this key, past thoughts, prose and code fences."""
    found = [value for value in _objects(unwrapped(text)) if key in value]
    return found[-1] if found else None


def is_prose(text: str) -> bool:
    """Return True if a text holds words and no JSON object, not even a broken one."""
    said = unwrapped(text)
    return bool(_LETTER.search(said)) and not _LIKE_OBJECT.search(said)


def unwrapped(text: str) -> str:
    """Return a reply without what a model thinks aloud before it, and without quotes around it.

    An unclosed thought has no answer.
    """
    said = _END_OF_THOUGHT.sub("", _THOUGHT.sub("", text)).strip()
    with suppress(json.JSONDecodeError, RecursionError):
        if said.startswith('"') and isinstance(inner := _decoder.decode(said), str):
            return inner.strip()
    return said


def one_line(text: str) -> str:
    """Return a text on one line, without control characters and lone surrogates.

    Marks of direction and joiners stay: Persian words and emoji fall apart without them.
    """
    return " ".join(_UNPRINTABLE.sub("", " ".join(text.split())).split())


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects that stand in no other one, in time linear in the text."""
    end = 0
    for start in [match.start() for match in _BEGINS_OBJECT.finditer(text)][-MAX_STARTS:]:
        if start >= end:
            with suppress(json.JSONDecodeError, RecursionError):
                value, end = _decoder.raw_decode(text, start)
                yield value
