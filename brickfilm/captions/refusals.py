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
    (words, re.compile(pattern, re.IGNORECASE))
    for words, pattern in (
        (
            ("can", "able", "won", "not", "must"),
            rf"\b(?:I|we) ?{_CANNOT}(?: to)?(?: \w+){{0,3}}? {_WORKS}\b",
        ),
        (("sorry",), r"^(?:I['’]m|I am|we['’]re) (?:very |really |so )?sorry\b"),
        (("sorry",), r"^sorry,? (?:but )?I\b"),
        (
            ("apolog", "unfortunately"),
            r"^my apologies\b|^I apologi[sz]e\b|^unfortunately,? I\b",
        ),
        (
            ("as a",),
            r"\bas an? (?:AI|artificial intelligence|(?:large )?language model)\b",
        ),
        (
            ("gu", "pol"),
            r"\b(?:against|violat\w+) (?:my|our|the) (?:\w+ )?(?:guidelines|polic(?:y|ies))\b",
        ),
        (
            ("capt", "nformat", "context"),
            r"^(?:no|not enough|insufficient) (?:caption|information|context)\b",
        ),
        (("capt",), r"\bcaption(?:ing)? (?:failed|unavailable|not available)\b"),
        (("please",), r"\bplease (?:provide|upload|share|send)\b"),
        (("ded", "attached", "ven"), rf"\b(?:no|without) {_STILLS} {_GIVEN}\b"),
        (("n/a", "na", "none", "null", "error"), r"^(?:n/?a|none|null|error)\W*$"),
    )
)
"""Pattern, and parts of words of which a text that matches has one, in small letters: most texts
have none, and a search costs 10 times as much. None has an i, whose letters have odd cases."""


def find_refusal(text: str) -> str | None:
    """Return the words by which a text refuses; None if it is a description."""
    text = text.strip()
    folded = text.casefold()
    for words, pattern in REFUSAL_PATTERNS:
        for word in words:  # `any` of a generator takes three times as long
            if word in folded:
                if match := pattern.search(text):
                    return match.group(0)
                break
    return None
