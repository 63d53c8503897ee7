"""Lint rule for captions that mention the video or image instead of its content.

"Frame", "picture" and "video" may also name things in the scene (window frames, pictures on walls,
video cameras), so every match is checked in its context.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from brickfilm.captions.lint.text_match import TextMatch

_NOUN = (
    r"(?:videos?|clips?|footage|images?|pictures?|photos?|photographs?|screenshots?|frames?|stills)"
)
_SHOWS = (
    r"(?:shows?|showing|depicts?|depicting|captures?|capturing|features?|featuring|displays?"
    r"|presents?|portrays?|illustrates?|begins?|starts?|opens?|ends|concludes?|transitions?"
    r"|progresses|continues|focuses|follows|zooms)"
)
_OPENING = re.compile(
    r"^(?:an?|the|this|these|here is an?|in (?:an?|the|this))\s+"
    rf"(?:(?!an?\b|the\b|his\b|her\b)[\w-]+\s+){{0,3}}?{_NOUN}\b"
    rf"(?=\s*(?:,|of\b|in which\b|where\b|with\b|from\b|{_SHOWS}\b|we\b))",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    rf"\b(?:the|this|these|each|every|both)\s+(?:(?:whole|entire|full|short|animated)\s+)?"
    rf"(?P<noun>{_NOUN})\s+(?:then\s+|also\s+|slowly\s+)?{_SHOWS}\b",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"\b(?:in|into|of|from|within|throughout|across|during|outside|inside|through|off|on|to|at"
    r"|over|enters?|entering|leaves?|leaving|exits?|exiting|fills?|filling|crosses|crossing"
    r"|dominates?|dominating|occup(?:y|ies|ying)|reenters?)\s+"
    rf"(?:the|this|these|each|every)\s+(?:(?:whole|entire|full|rest of the)\s+)?(?P<noun>{_NOUN})\b"
    r"(?!['’]s?\b)",
    re.IGNORECASE,
)
_BARE = re.compile(
    r"\b(?:out of|into|in|off|leaves|enters|off-?)[ -]frame\b(?!\s+of\b)|\bframe[ -]by[ -]frame\b"
    r"|\b(?:video|movie|film) (?:clip|footage|frame)s?\b|\bstill (?:image|frame|photo|picture)s?\b"
    r"|\bthis (?:video|clip|footage|image|picture|photo|frame|still)\b",
    re.IGNORECASE,
)
_HUNG = re.compile(
    r"^\s*(?:of (?:an?|the|his|her|their|its)\b|(?:on|above|over|behind|across|from|in)\s+"
    r"(?:an?|the|his|her|their|its|every)\s+(?:\w+\s+){0,2}?"
    r"(?:wall|screen|monitor|television|tv|poster|shield|banner|bed|fireplace|mantel|desk|saved"
    r"|hand|hands|locket|newspaper|book|page|phone|billboard|projector|canvas|easel|nail)\b)",
    re.IGNORECASE,
)
_MADE = re.compile(
    r"[^.,]*?\b(?:is|are) (?:painted|carved|printed|drawn|projected|reflected|hung|nailed)\b",
    re.IGNORECASE,
)
_FRAMED = re.compile(
    r"\b(?:window|door|mirror|painting|portrait|bicycle|bike|easel|bed|loom|glasses|canvas"
    r"|carpenter|glazier|screen)\b",
    re.IGNORECASE,
)


def medium(text: str) -> Iterator[TextMatch]:
    """Yield passages that mean the medium and not a thing in the scene."""
    match_ends: set[int] = set()
    for pattern in (_OPENING, _SUBJECT, _PLACE, _BARE):
        for match in pattern.finditer(text):
            if match.end() not in match_ends and not _is_scene_object(text, match):
                match_ends.add(match.end())
                yield match.group(0), match.start()


def _is_scene_object(text: str, match: re.Match[str]) -> bool:
    """Return True if the noun was introduced as a thing, hangs somewhere, or frames something."""
    noun = match.groupdict().get("noun")
    if noun is None:
        return bool(_MADE.match(text[match.end() :]))
    before, after = text[: match.start()], text[match.end() :]
    stem = noun.lower().rstrip("s")
    introduced = re.search(
        rf"(?<!^)\b(?:an?|two|three|his|her)\s+(?:[\w-]+\s+){{0,3}}?{stem}", before
    )
    if introduced or (_HUNG.match(after) and stem != "frame"):
        return True
    sentence = re.split(r"[.!?]\s", before)[-1]
    return stem == "frame" and bool(
        _FRAMED.search(sentence) or re.match(r"\s+of (?:an?|the|his|her|its)\s", after)
    )
