"""Lint rules for wording: hedging, toy and stop-motion vocabulary, leaked instructions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from brickfilm.captions.lint.text_match import TextMatch, find_matches

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
"""Length of a run of words that a caption may not share with its prompt."""


def hedging(text: str) -> Iterator[TextMatch]:
    """Yield guesses such as 'appears to' and 'possibly'."""
    return find_matches(_HEDGES, text)


def toy(text: str) -> Iterator[TextMatch]:
    """Yield the toy's brand, stop motion and blockiness; not brick walls or toy trains."""
    return find_matches(_TOY, text)


def leak(text: str) -> Iterator[TextMatch]:
    """Yield statuses, labels, headings and opening phrases of the prompt."""
    return find_matches(_LEAKS, text)


def repeated(text: str, prompt: str) -> Iterator[TextMatch]:
    """Yield the first run of words that a caption shares with its prompt."""
    prompt_runs = _ngrams(prompt)
    words = _words(text)
    for n in range(len(words) - LEAK_RUN_WORDS + 1):
        if tuple(word for word, _ in words[n : n + LEAK_RUN_WORDS]) in prompt_runs:
            start = words[n][1]
            end = words[n + LEAK_RUN_WORDS - 1][1] + len(words[n + LEAK_RUN_WORDS - 1][0])
            yield text[start:end], start
            return


def _words(text: str) -> list[tuple[str, int]]:
    return [(m.group(0).lower(), m.start()) for m in re.finditer(r"[\w'’-]+", text)]


@lru_cache(maxsize=16)
def _ngrams(prompt: str) -> frozenset[tuple[str, ...]]:
    words = [word for word, _ in _words(prompt)]
    return frozenset(
        tuple(words[n : n + LEAK_RUN_WORDS]) for n in range(len(words) - LEAK_RUN_WORDS + 1)
    )
