"""Precision and recall of the lint, place by place, on 300 labelled sentences (lint_labels.tsv)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from brickfilm.captions.lint import lint
from brickfilm.captions.prompts import load_prompt

LABELS = (Path(__file__).parent / "lint_labels.tsv").read_text(encoding="utf-8").splitlines()
PLACE = re.compile(r"\{(medium|stills|toy|hedging|leak|language):((?:[^{}]|\{(?!\w+:))*?)\}")

Place = tuple[str, int, int]
"""A rule, and the first and last position of the words that break it."""


def labelled() -> Iterator[tuple[str, str, list[Place]]]:
    """Yield prompt, sentence and labelled places."""
    for row in LABELS:
        if row.startswith("# "):
            continue
        prompt, marked = row.split("\t")
        text, places, end = "", [], 0
        for match in PLACE.finditer(marked):
            text += marked[end : match.start()]
            places.append((match[1], len(text), len(text) + len(match[2])))
            text, end = text + match[2], match.end()
        yield prompt, text + marked[end:], places


def judged(prompt: str, text: str) -> list[Place]:
    findings = lint(text, load_prompt(prompt).rules)
    return [(f.rule, f.start, f.start + len(f.words)) for f in findings]


def same(finding: Place, place: Place) -> bool:
    return finding[0] == place[0] and finding[1] < place[2] and place[1] < finding[2]


@pytest.mark.parametrize("name", ["bricks", "general"])
def test_precision_and_recall_on_300_labelled_sentences(name: str) -> None:
    rows = list(labelled())
    assert len(rows) == 300
    true, found, hits, faults = 0, 0, 0, []
    for prompt, text, places in rows:
        if prompt not in ("any", name):
            continue
        findings = judged(name, text)
        hit = sum(any(same(f, p) for f in findings) for p in places)
        true, found, hits = true + len(places), found + len(findings), hits + hit
        if hit < len(places) or hit < len(findings):
            faults.append((text, findings, places))
    print(f"{name}: recall {hits / true:.3f}, precision {hits / found:.3f}, {true} places")
    assert hits >= 0.95 * true and hits >= 0.95 * found, faults
