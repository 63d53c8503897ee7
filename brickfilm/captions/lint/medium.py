"""Lint rules for captions that mention the video, image or frames instead of their content.

"Frame", "picture" and "video" may also name things in the scene (window frames, pictures on walls,
video cameras), so every match is checked in its context.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from brickfilm.captions.lint.text_match import TextMatch

_STRONG = r"(?:videos?|(?<!paper )(?<!hair )clips?|footage|images?|screenshots?|visuals?|stills)"
"""Nouns that name the medium wherever they are definite."""
_WEAK = r"(?:pictures?|photos?|photographs?|frames?|films?|movies?|still)"
"""Nouns that name the medium as a subject or a place; elsewhere they are things of the scene."""
_NOUN = rf"(?:{_STRONG}|{_WEAK})"
_END = (
    r"\b(?!\s+(?:cameras?|games?|tapes?|calls?|screens?|walls?|crews?|reels?|rolls?|strips?"
    r"|theat(?:er|re)s?|stars?|posters?|projectors?|books?|albums?|frames?|windows?|shops?|stores?"
    r"|houses?|studios?|sets?|makers?|editors?|boards?|water|pond|lake|sea|air|surface)\b)"
)
"""Neither the first half of a compound ('video game') nor an adjective ('the still pond')."""
_DEFINITE = (
    r"\b(?:the|this|these|each|every|both)\s+(?:(?:whole|entire|full|short|brief|animated|looping"
    r"|given|provided|shown|accompanying|overall|original|static|still|camera|drone|video|movie"
    r"|film|rest of the|two|three|four)\s+){0,2}"
)
_SHOWS = (
    r"(?:show(?:s|ing|cas\w+)?|depicts?|depicting|captures?|capturing|features?|featuring|displays?"
    r"|presents?|portrays?|illustrates?|contains?|begins?|starts?|opens?|ends|concludes?"
    r"|transitions?|progresse?s?|continues?|focuses|follows|zooms|suggests?|is|are|was|were|has)"
)
_PLACE = (
    r"\b(?:in|into|of|from|within|throughout|across|during|outside|inside|through|off|on|to|at|over"
    r"|enters?|entering|leaves?|leaving|exits?|exiting|fills?|filling|cross(?:es|ing)|dominat\w+"
    r"|occup(?:y|ies|ying)|reenters?)\s+"
)
_START = r"(?:^|(?<=[.!?,;]\s))"
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_START}(?:an?|the|this|these|in (?:an?|the|this))\s+"
        rf"(?:(?!an?\b|the\b|his\b|her\b)[\w-]+\s+){{0,3}}?{_NOUN}{_END}"
        r"(?=\s*(?:,|of\b(?<!frame of)(?<!film of)|in which\b|where\b|with\b|from\b"
        rf"|{_SHOWS}\b|we\b))",
        rf"{_START}(?:video|footage|clip|image|picture|photo|photograph|still|screenshot)s?\s+"
        r"(?:of|showing|shows)\b",
        rf"{_DEFINITE}(?P<noun>{_STRONG}){_END}",
        rf"(?:{_START}|{_PLACE}){_DEFINITE}(?P<noun>{_WEAK}){_END}(?<!\bstill)(?!['’]s?\b)",
        rf"(?:{_START}|{_PLACE})(?:the|this)\s+still(?=\s+{_SHOWS}\b|\s*[.,;:]|\s*$)",
        r"\b(?:out of|into|in|off|leaves|enters|off-?)[ -]frame\b(?!\s+of\b)"
        r"|\b(?:video|movie|film) (?:clip|footage|frame)s?\b"
        r"|\bstill (?:image|frame|photo|picture)s?\b|\bthis (?:image|picture|photo|frame|film)\b",
    )
)
_LAST_NOUN = re.compile(_NOUN, re.IGNORECASE)
_HUNG = re.compile(
    r"^\s*(?:(?:of (?:an?|the|his|her|their|its)\s+(?:(?!that\b|who\b|which\b)[\w-]+\s+){1,4}?"
    r"(?:hangs?|stands?|lies?|leans?|covers?)\b)|(?:on|above|over|behind|across|from|in)\s+"
    r"(?:an?|the|his|her|their|its|every)\s+(?:\w+\s+){0,2}?"
    r"(?:wall|screen|monitor|television|tv|poster|shield|banner|bed|fireplace|mantel|desk|saved"
    r"|hand|hands|hair|locket|newspaper|book|page|phone|billboard|projector|canvas|easel|nail)\b)",
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
_CONTEXT = 600
"""Characters on either side that decide what a match means: more would be quadratic in time."""


def medium(text: str) -> Iterator[TextMatch]:
    """Yield passages that mean the medium and not a thing in the scene."""
    for pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if not _is_scene_object(text, match):
                yield match.group(0), match.start()


def _is_scene_object(text: str, match: re.Match[str]) -> bool:
    """Return True if the noun was introduced as a thing, hangs somewhere, or frames something."""
    before = text[max(0, match.start() - _CONTEXT) : match.start()]
    after = text[match.end() : match.end() + _CONTEXT]
    stem = _LAST_NOUN.findall(match.group(0))[-1].lower().rstrip("s")
    introduced = re.search(
        rf"(?<!^)\b(?:an?|two|three|his|her)\s+(?:[\w-]+\s+){{0,3}}?{stem}", before
    )
    if introduced or (_HUNG.match(after) and stem != "frame"):
        return True
    if match.groupdict().get("noun") is None:
        return bool(_MADE.match(after))
    sentence = re.split(r"[.!?]\s", before)[-1]
    return stem == "frame" and bool(
        _FRAMED.search(sentence) or re.match(r"\s+of (?:an?|the|his|her|its)\s", after)
    )
