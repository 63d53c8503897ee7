"""Lint rules for wording: hedging, toy and stop-motion vocabulary, leaked instructions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from brickfilm.captions.lint.text_match import TextMatch, find_matches

_PLACES = (
    r"(?:in|into|inside|on|onto|at|from|to|by|near|next|with|without|above|over|overhead|under|below"
    r"|beneath|behind|beside|besides|beyond|between|among|amid|around|across|against|along|alongside"
    r"|through|throughout|within|outside|out|off|up|down|before|after|during|upon|for|of|opposite"
    r"|midway|halfway|everywhere|somewhere|nearby|there|here)"
)
_OCCURS = (
    rf"(?:{_PLACES}|\w+ly {_PLACES}|and|or|but|as an?|as the|while|when|where|until|then|now|soon"
    r"|again|once|twice|first|last|later|briefly|suddenly|slowly|only|one|two|three|the|an?|his|her)"
)
"""Words after 'appears' that make it mean 'comes into sight': 'appears slowly above the ridge'."""
_HEDGES = re.compile(
    rf"\bappear(?:s|ed|ing)?\s+(?!{_OCCURS}\b)\w+|\bappear(?:s|ed|ing)? to "
    r"(?!(?:the|an?|his|her|their|its|one|him|them|us|every)\b)"
    r"|\b(?:seem(?:s|ed|ing|ingly)?|apparently|presumably|supposedly|possibly|perhaps|maybe"
    r"|probably|conceivably|evidently|ostensibly|(?:most |very )?likely)\b"
    r"|(?<!his )(?<!her )(?<!its )(?<!their )(?<!the )(?<!all )\bmight\b"
    r"|\b(?:may|could)(?: \w+ly| well)? (?:be|have|indicate|suggest|represent|imply)\b"
    r"|\bmust be\b|\bsuggest(?:s|ed|ing)?\b|\bimplying\b|\bhint(?:s|ed|ing) (?:at|that)\b"
    r"|(?<=, )indicating\b|\bwhat (?:looks|appears|seems)\b|\bgiv(?:es?|ing) the impression\b"
    r"|\blook(?:s|ing)? (?:like (?!his|her|their)|as if|as though|to be\b)"
    r"|\bsome (?:sort|kind|type) of\b|\b(?:un|not )clear (?:what|who|why|whether|if)\b"
    r"|\bhard to (?:tell|say|make out)\b",
    re.IGNORECASE,
)

_BRICKS = r"(?:bricks?|blocks?|plates|studs)"
_BUILT = r"(?:made|built|constructed|composed|assembled|formed|fashioned|crafted)"
_MOSTLY = r"(?:(?:entirely|completely|wholly|all|up|out)\s+)*"
_PLASTIC = r"(?:toy|plastic|interlocking|building|colou?rful|coloured|colored|individual|studded)"
_ALIVE = (
    r"(?:figures?|characters?|m[ae]n|wom[ae]n|boys?|girls?|people|person|animals?|soldiers?|knights?"
    r"|pirates?|world|scene|set|landscape|city|town|village)"
)
_LIVING = (
    rf"(?:{_ALIVE}|cars?|trucks?|trees?|dogs?|cats?|horses?|dragons?|robots?|ships?|boats?|planes?"
    r"|spaceships?|everything|vehicle|creature)"
)
_TOY = re.compile(
    r"\blegos?\b|\blego-\w+|\bduplo\b|\bminifig\w*|\bmini-?figures?\b|\bfigurines?\b|\bplaysets?\b"
    r"|\bstop[- ]?motion\b|\bclaymation\b|\bbrick-?films?\b|\bblocky\b|\bblockiness\b"
    r"|\b(?:block|brick|toy|plastic)[- ]?(?:like|scale|scaled|sized|looking)\b|\bbaseplates?\b"
    r"|(?<!-)\bstudded\b(?! with)(?! (?:leather|belt|collar|jacket|boots?|door|gate)s?\b)"
    r"|(?<!ear )\bstuds\b|\bminiature\b|\bdioramas?\b|\binterlocking (?:piece|part|element)s?\b"
    rf"|\b(?:toy|plastic) (?:{_ALIVE}|houses?|castles?)\b|\banimated toys?\b"
    r"|\baction figures?\b"
    r"|\b(?:brick|block)[- ](?:built|made|based|style|styled)\b"
    rf"|\bbrick (?:{_LIVING}|animation|model|set)\b"
    rf"|\b{_PLASTIC} (?:bricks?|blocks?)\b(?! wall)"
    rf"|\b{_LIVING} (?:(?:is|are) )?{_MOSTLY}{_BUILT} {_MOSTLY}(?:of|from|with)"
    rf" (?:\w+ ){{0,2}}{_BRICKS}\b",
    re.IGNORECASE,
)

_LEAKS = re.compile(
    r"\bnot_enough_information\b|\bsingle_image\b|\bno_movement\b|\{[^}]*\}?|\}|\*\*(?:[^*]*\*\*)?"
    r"|^(?:here(?: is|['’]s| are)|sure|certainly|of course|okay|absolutely)\b(?=[ ,!:])"
    r"(?:[^.!:\n]{0,60}:)?"
    r"|[\"']?\b(?:status|caption)[\"']?\s*:|\bI(?:['’]m| am) (?:sorry|unable)\b"
    r"|\bI (?:cannot|can['’]?t|can|see|notice|observe)\b"
    r"|\b(?:as|like) (?:you )?(?:requested|instructed|asked for)\b|\bas per (?:the|your)\b"
    r"|\b(?:fewer|less) than six sentences\b|\btext-to-(?:video|image)\b|\bre-?generat\w+"
    r"|\b(?:the|your|this) prompt\b|\bas an? (?:AI|language model)\b"
    r"|^#+ |(?m:^(?:[-*•]|\d+[.)]) )|```|</?\w+>",
    re.IGNORECASE,
)
LEAK_RUN_WORDS = 8
"""Length of a run of words that a caption may not share with its prompt."""


def hedging(text: str) -> Iterator[TextMatch]:
    """Yield guesses such as 'appears to' and 'possibly'."""
    return find_matches(_HEDGES, text)


def toy(text: str) -> Iterator[TextMatch]:
    """Yield the toy's brand, stop motion, toys and blockiness; not brick walls or toy trains."""
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
