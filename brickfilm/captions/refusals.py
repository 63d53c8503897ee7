"""Detect refusals in prose, for services whose replies have no refusal field."""

from __future__ import annotations

import re

_CANNOT = (
    r"(?:can['’]t|cannot|am (?:not able|unable)|['’]m (?:not able|unable)|won['’]t|will not"
    r"|must decline)"
)
_WORKS = (
    r"(?:assist|help|describe|identif\w*|provide|comply|generate|create|see|view|access|determine"
    r"|process|continue|fulfil\w*|write|caption|analy\w*|do that|answer|say)"
)
_STILLS = r"(?:stills?|images?|frames?|pictures?)"
_GIVEN = r"(?:were|was|are|is|have been) (?:provided|attached|given|uploaded)"
REFUSAL_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:I|we) ?{_CANNOT}(?: to)?(?: \w+){{0,3}}? {_WORKS}\b",
        r"^(?:I['’]m|I am|we['’]re) (?:very |really |so )?sorry\b",
        r"^sorry,? (?:but )?I\b",
        r"^my apologies\b|^I apologi[sz]e\b|^unfortunately,? I\b",
        r"\bas an? (?:AI|artificial intelligence|(?:large )?language model)\b",
        r"\b(?:against|violat\w+) (?:my|our|the) (?:\w+ )?(?:guidelines|polic(?:y|ies))\b",
        r"^(?:no|not enough|insufficient) (?:caption|information|context)\b",
        r"\bcaption(?:ing)? (?:failed|unavailable|not available)\b",
        r"\bplease (?:provide|upload|share|send)\b",
        rf"\b(?:no|without) {_STILLS} {_GIVEN}\b",
        r"^(?:n/?a|none|null|error)\W*$",
    )
)


def find_refusal(text: str) -> str | None:
    """Return the words by which a text refuses; None if it is a description."""
    matches = (pattern.search(text.strip()) for pattern in REFUSAL_PATTERNS)
    return next((match.group(0) for match in matches if match), None)
