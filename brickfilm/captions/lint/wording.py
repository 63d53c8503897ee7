"""Words that a caption should not hold: guesses, the toy behind the scene, instructions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

TextMatch = tuple[str, int]

_HEDGES = re.compile(
    r"\b(?:appear(?:s|ed|ing)? to (?!(?:the|an?|his|her|their|its|one|him|them|us|every)\b)"
    r"|seem(?:s|ed|ing|ingly)?\b|apparently\b|presumably\b|supposedly\b|possibly\b|perhaps\b"
    r"|maybe\b|probably\b|most likely\b|likely (?=an?|the|to|in|from|as\b)"
    r"|(?:might|may|could) (?:be|have|indicate|suggest|represent|imply)\b"
    r"|suggesting\b|suggests? (?:that|an?|the)\b|implying\b|hint(?:s|ing) at\b"
    r"|what (?:looks|appears|seems)\b|look(?:s|ing) (?:like|as if|as though)\b"
    r"|some (?:sort|kind|type) of\b|(?:un|not )clear (?:what|who|why|whether|if)\b"
    r"|hard to (?:tell|say|make out)\b)",
    re.IGNORECASE,
)

_BRICKS = r"(?:bricks?|blocks?|plates|studs)"
_BUILT = r"(?:made|built|constructed|composed|assembled|formed|fashioned|crafted)"
_MOSTLY = r"(?:(?:entirely|completely|wholly|all|up|out)\s+)*"
_PLASTIC = r"(?:toy|plastic|interlocking|building|colou?rful|coloured|colored|individual|studded)"
_LIVING = (
    r"(?:figures?|characters?|m[ae]n|wom[ae]n|boys?|girls?|people|person|cars?|trucks?|trees?|dogs?"
    r"|cats?|horses?|dragons?|robots?|animals?|ships?|boats?|planes?|spaceships?|world|scene|set"
    r"|everything|landscape|city|vehicle|creature)"
)
_TOY = re.compile(
    r"\blegos?\b|\blego-\w+|\bminifig\w*|\bmini-?figures?\b|\bstop[- ]?motion\b|\bbrick-?films?\b"
    r"|\bblocky\b|\bblockiness\b|\bblock-like\b|\bbrick-like\b|\bbaseplates?\b"
    r"|\bstudded (?:plate|base|surface|ground|floor)s?\b"
    r"|\b(?:brick|block)[- ](?:built|made|based|style|styled)\b"
    rf"|\bbrick (?:{_LIVING}|animation|model|set)\b"
    rf"|\b{_PLASTIC} (?:bricks?|blocks?)\b(?! wall)"
    rf"|\b{_LIVING} (?:(?:is|are) )?{_MOSTLY}{_BUILT} {_MOSTLY}(?:of|from|with)"
    rf" (?:\w+ ){{0,2}}{_BRICKS}\b",
    re.IGNORECASE,
)

_LEAKS = re.compile(
    r"\bnot_enough_information\b|\bsingle_image\b|\bno_movement\b"
    r"|[\"']?\b(?:status|caption)[\"']?\s*:"
    r"|^(?:here(?: is|['’]s| are)|sure|certainly|of course|okay|absolutely)\b(?=[ ,!:])"
    r"|\b(?:as|like) (?:you )?(?:requested|instructed|asked for)\b|\bas per (?:the|your)\b"
    r"|\b(?:fewer|less) than six sentences\b|\btext-to-(?:video|image)\b|\bre-?generat\w+"
    r"|\b(?:the|your|this) prompt\b|\bas an? (?:AI|language model)\b"
    r"|\*\*|^#+ |(?m:^(?:[-*•]|\d+[.)]) )|[{}]|```|</?\w+>",
    re.IGNORECASE,
)
LEAK_RUN_WORDS = 8
"""Words in a row that a caption may not share with its prompt."""


def hedging(text: str) -> Iterator[TextMatch]:
    """Guesses, where a statement belongs."""
    return _matches(_HEDGES, text)


def toy(text: str) -> Iterator[TextMatch]:
    """The toy's brand, stop motion, blockiness; not brick walls, stone blocks or toy trains."""
    return _matches(_TOY, text)


def leak(text: str) -> Iterator[TextMatch]:
    """The prompt's machinery: statuses, labels, headings, opening phrases."""
    return _matches(_LEAKS, text)


def repeated(text: str, prompt: str) -> Iterator[TextMatch]:
    """Runs of the prompt's own words, its examples among them: the first of each caption."""
    known = _ngrams(prompt)
    words = _words(text)
    for n in range(len(words) - LEAK_RUN_WORDS + 1):
        if tuple(word for word, _ in words[n : n + LEAK_RUN_WORDS]) in known:
            start = words[n][1]
            end = words[n + LEAK_RUN_WORDS - 1][1] + len(words[n + LEAK_RUN_WORDS - 1][0])
            yield text[start:end], start
            return


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[TextMatch]:
    return ((m.group(0).strip(), m.start()) for m in pattern.finditer(text))


def _words(text: str) -> list[tuple[str, int]]:
    return [(m.group(0).lower(), m.start()) for m in re.finditer(r"[\w'’-]+", text)]


@lru_cache(maxsize=16)
def _ngrams(prompt: str) -> frozenset[tuple[str, ...]]:
    words = [word for word, _ in _words(prompt)]
    return frozenset(
        tuple(words[n : n + LEAK_RUN_WORDS]) for n in range(len(words) - LEAK_RUN_WORDS + 1)
    )
