"""Lint rule for captions that go through the stills one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from brickfilm.captions.lint.text_match import TextMatch, find_matches

_ORDINAL = (
    r"(?:first|second|third|fourth|fifth|next|last|final|middle|opening|closing|initial|successive"
    r"|consecutive|following|subsequent|preceding|previous|remaining|later|earlier)"
)
_STILL = r"(?:stills?|frames?|images?|pictures?|photos?|panels?|screenshots?)"
_COUNT = r"(?:two|three|four|five|several|many|\d+)"
_STEP = r"(?:in|by|with|from|across|between|over|through|throughout|during|within)"
_STILL_BY_STILL = re.compile(
    rf"\b(?:(?:{_STEP} )?(?:the |an? )?){_ORDINAL} (?:and {_ORDINAL} )?(?:\w+ )?{_STILL}\b"
    r"(?! (?:on|of|in|above) (?:the|an?|his|her) (?:\w+ )?(?:wall|saved|book|screen|album|window))"
    rf"|\b(?:in )?{_STILL} (?:[1-9]|one|two|three)\b|\bat \d{{1,2}} ?%"
    rf"|\b(?:across|between|over|in all|throughout|through|over the course of)"
    rf" (?:the |all |all the |these )?(?:{_COUNT} )?(?:stills|frames|images|screenshots)\b"
    rf"|\b(?:the )?(?:sequence|series|succession|progression) of (?:{_COUNT} )?{_STILL}\b"
    rf"|\bfrom one {_STILL} to (?:the next|another)\b|\bfrom {_STILL} to {_STILL}\b"
    rf"|\b{_STILL} (?:by|after) {_STILL}\b|\b(?:in|with) (?:each|every|one|another) {_STILL}\b"
    rf"|\bthe {_STILL} (?:progress|advance|change)\b|\bthe {_ORDINAL} (?:one )?shows\b",
    re.IGNORECASE,
)


def stills(text: str) -> Iterator[TextMatch]:
    """Yield passages that describe the stills one by one."""
    return find_matches(_STILL_BY_STILL, text)
