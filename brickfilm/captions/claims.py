"""Split a caption into claims that can be checked one by one."""

from __future__ import annotations

import re

from brickfilm.captions.aspects import ASPECTS
from brickfilm.records import Caption

MAX_CLAIMS = 24
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z“\"])")
_CLAUSE = re.compile(r";\s+|,\s+(?:while|and|as)\s+|\s+while\s+")
_THING = re.compile(
    r",\s+(?:and\s+)?(?=(?:an?|the|two|three|four|five|six|some|several)\s)"
    r"|\s+and\s+(?=(?:an?|two|three|four|five|six|some|several)\s)"
)
"""Between two things of a list, each of which may be there or not."""


def split_claims(caption: Caption) -> tuple[str, ...]:
    """Return the claims of a caption's aspects, at most MAX_CLAIMS; without aspects, of its text.

    Subjects are split into things, other aspects into clauses. The short form says nothing new.
    """
    if not caption.aspects:
        return tuple(_clauses(caption.text))[:MAX_CLAIMS]
    claims = [
        f"{name.replace('_', ' ')}: {part}"
        for name in ASPECTS
        if name != "short"
        for part in _parts(name, caption.aspects.get(name, ""))
    ]
    return tuple(dict.fromkeys(claims))[:MAX_CLAIMS]


def _parts(name: str, text: str) -> list[str]:
    if name != "subjects":
        return _clauses(text)
    return [_trim(thing) for part in _SENTENCE.split(text) for thing in _THING.split(part) if thing]


def _clauses(text: str) -> list[str]:
    parts = (clause for part in _SENTENCE.split(text) for clause in _CLAUSE.split(part))
    return [trimmed for part in parts if (trimmed := _trim(part))]


def _trim(text: str) -> str:
    return text.strip().rstrip(".,;")
