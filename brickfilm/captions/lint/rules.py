"""The rules of a caption, checked: for captions of any origin.

from brickfilm.captions.lint import lint
lint("The video shows a man.")        # [Finding(rule='medium', words='The video', start=0)]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from brickfilm.captions.lint.form import language, sentences, stills
from brickfilm.captions.lint.medium import medium
from brickfilm.captions.lint.wording import TextMatch, hedging, leak, repeated, toy
from brickfilm.errors import UsageError


@dataclass(frozen=True)
class Finding:
    """A rule that a caption breaks, and the words that break it."""

    rule: str
    words: str
    start: int


@dataclass(frozen=True)
class Rule:
    """How to find a fault, and what to say to whoever wrote it."""

    find: Callable[[str], Iterator[TextMatch]]
    remedy: str


RULES: Mapping[str, Rule] = {
    "medium": Rule(medium, "do not mention the video, clip, image, picture, still or frame itself"),
    "stills": Rule(stills, "describe one continuous happening, not the stills one by one"),
    "toy": Rule(toy, "name no toy brand, no stop motion, and nothing as blocky or made of bricks"),
    "sentences": Rule(sentences, "use fewer than six sentences"),
    "hedging": Rule(hedging, "state what is there, without guessing"),
    "leak": Rule(leak, "write the caption alone: no instructions, headings, lists or labels"),
    "language": Rule(language, "write in English"),
}
VERSION = 1
"""Raised whenever a rule finds something else than before."""


def lint(text: str, rules: Iterable[str] = tuple(RULES), prompt: str = "") -> list[Finding]:
    """What is wrong with a caption, by these rules; runs of a prompt's own words count as leaks."""
    chosen = tuple(rules)
    if unknown := sorted(set(chosen) - set(RULES)):
        raise UsageError(f"no such lint rule: {', '.join(unknown)}; there are {', '.join(RULES)}")
    found = [Finding(name, *match) for name in chosen for match in RULES[name].find(text)]
    if prompt and "leak" in chosen:
        found += [Finding("leak", *match) for match in repeated(text, prompt)]
    return sorted(found, key=lambda f: (f.start, f.rule))


def revision_prompt(findings: Iterable[Finding]) -> str:
    """What to tell the model that wrote a caption, so that it writes a better one."""
    words: dict[str, list[str]] = {}
    for finding in findings:
        words.setdefault(finding.rule, []).append(repr(finding.words))
    faults = (f"- {RULES[rule].remedy} (you wrote {', '.join(w)})" for rule, w in words.items())
    return (
        "That caption breaks rules:\n" + "\n".join(faults) + "\nWrite it again without these "
        "faults, keep everything else that it says, and answer in the same form."
    )


def count_rules(findings: Iterable[Iterable[Finding]]) -> Counter[str]:
    """How many captions break each rule."""
    return Counter(rule for one in findings for rule in {f.rule for f in one})
