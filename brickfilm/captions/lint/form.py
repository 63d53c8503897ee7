"""Lint rules for the form of a caption: its length and its language."""

from __future__ import annotations

import re
from collections.abc import Iterator

from brickfilm.captions.lint.text_match import TextMatch

MAX_SENTENCES = 5
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|st|no|vs|mt|jr|sr|e\.g|i\.e|etc)|\b[A-Z])\.$", re.IGNORECASE
)
_LONGEST_ABBREVIATION = 8
_STOP = re.compile(r"[.!?…]+[\"”’')\]]*(?=\s+[\"“‘'(\[]*[A-Z0-9]|\s*$)")
_ENGLISH = frozenset(
    re.findall(
        r"\w+",
        """the a an and of in on with to at by from as is are his her its their while into over
        under through behind beside near past across for that this it who which where when then
        he she they up down out off one two three between above below toward towards along what has
        have may be not but or each there""",
    )
)
"""English function words: a third of English prose, and rare in any other language."""
MIN_WORDS, MIN_ENGLISH_SHARE = 6, 0.15


def count_sentences(text: str) -> int:
    """Count sentences; abbreviations, initials and decimals do not end one."""
    ends = [m for m in _STOP.finditer(text) if not _abbreviates(text, m.start())]
    rest = text[ends[-1].end() :] if ends else text
    return len(ends) + bool(rest.strip())


def _abbreviates(text: str, stop: int) -> bool:
    return bool(_ABBREVIATION.search(text[max(0, stop - _LONGEST_ABBREVIATION) : stop + 1]))


def sentences(text: str) -> Iterator[TextMatch]:
    """Yield one finding if there are more than five sentences."""
    count = count_sentences(text)
    if count > MAX_SENTENCES:
        yield f"{count} sentences", 0


def language(text: str) -> Iterator[TextMatch]:
    """Yield one finding for a caption with too few English function words."""
    words = re.findall(r"[^\W\d_]+(?:['’]\w+)?", text.lower())
    if len(words) >= MIN_WORDS:
        foreign = sum(word in _ENGLISH for word in words) < MIN_ENGLISH_SHARE * len(words)
    else:
        foreign = any(ord(letter) > 0x24F for word in words for letter in word)
    if foreign:
        yield " ".join(words[:5]), 0
