"""The table of lint rules, and the functions that apply them to a caption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from brickfilm.captions.lint.dialogue import dialogue
from brickfilm.captions.lint.form import language, sentences
from brickfilm.captions.lint.medium import medium
from brickfilm.captions.lint.stills import stills
from brickfilm.captions.lint.text_match import TextMatch
from brickfilm.captions.lint.wording import hedging, leak, repeated, toy
from brickfilm.errors import UsageError


@dataclass(frozen=True)
class Finding:
    """A rule that a caption breaks, the words that break it, and the position of their start."""

    rule: str
    words: str
    start: int


@dataclass(frozen=True)
class LintRule:
    """A function that finds faults, and the instruction that avoids them.

    The words that rules look for are English. Captions in another language pass all but `language`,
    which is for prompts that ask for English; signs of `dialogue` and `leak` (brackets, dashes,
    notes, fences) are found in any.
    """

    find: Callable[[str], Iterator[TextMatch]]
    remedy: str


RULES: Mapping[str, LintRule] = {
    "medium": LintRule(
        medium, "do not mention the video, clip, image, picture, still or frame itself"
    ),
    "stills": LintRule(stills, "describe one continuous happening, not the stills one by one"),
    "toy": LintRule(
        toy, "name no toy brand, no stop motion, and nothing as blocky or made of bricks"
    ),
    "sentences": LintRule(sentences, "use fewer than six sentences"),
    "hedging": LintRule(hedging, "state what is there, without guessing"),
    "leak": LintRule(leak, "write the caption alone: no instructions, headings, lists or labels"),
    "language": LintRule(language, "write in English"),
    "dialogue": LintRule(dialogue, "describe what can be seen, not what is said or heard"),
}
FILE_RULES = ("dialogue", "leak")
"""Rules for captions from files and people: the others are a prompt's wishes for its own captions,
such as its language and length, which people have not been asked to keep."""
RULES_VERSION = 3
"""Increased whenever a rule's findings change."""
WHOLE_CAPTION = frozenset({"sentences", "language"})
"""Rules about a caption as a whole, not about a place in it."""


def lint(text: str, rules: Iterable[str] = tuple(RULES), prompt: str = "") -> list[Finding]:
    """Return the findings of these rules in a caption, by position.

    With a prompt, the rule 'leak' also finds runs of the prompt's own words. Raises UsageError for
    an unknown rule.
    """
    names = tuple(rules)
    if unknown := sorted(set(names) - set(RULES)):
        raise UsageError(f"no such lint rule: {', '.join(unknown)}; there are {', '.join(RULES)}")
    findings = [Finding(name, *match) for name in names for match in RULES[name].find(text)]
    if prompt and "leak" in names:
        findings += [Finding("leak", *match) for match in repeated(text, prompt)]
    return sorted(_one_per_place(findings), key=lambda f: (f.start, f.rule))


def _one_per_place(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings about the whole caption, and of those that overlap the most specific."""
    taken: set[int] = set()
    for finding in sorted(findings, key=_specificity):
        place = range(finding.start, finding.start + len(finding.words))
        if finding.rule in WHOLE_CAPTION:
            yield finding
        elif taken.isdisjoint(place):
            taken.update(place)
            yield finding


def _specificity(finding: Finding) -> tuple[bool, int]:
    """Sort 'medium' last, since other rules say more of the same words; then by length."""
    return finding.rule == "medium", -len(finding.words)


def revision_prompt(findings: Iterable[Finding]) -> str:
    """Return the message that asks the model for a caption without these faults."""
    words: dict[str, list[str]] = {}
    for finding in findings:
        words.setdefault(finding.rule, []).append(repr(finding.words))
    faults = (f"- {RULES[rule].remedy} (you wrote {', '.join(w)})" for rule, w in words.items())
    return (
        "That caption breaks rules:\n" + "\n".join(faults) + "\nWrite it again without these "
        "faults, keep everything else that it says, and answer in the same form."
    )


def count_rules(findings: Iterable[Iterable[Finding]]) -> Counter[str]:
    """Count the captions that break each rule, given the findings of each caption."""
    return Counter(rule for of_caption in findings for rule in {f.rule for f in of_caption})
