"""Lint rules: 62 labelled captions, and the edge cases of each rule."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

import pytest

from brickfilm.captions.lint import RULES, count_rules, lint, revision_prompt
from brickfilm.captions.lint.form import count_sentences
from brickfilm.captions.prompts import builtin_prompts, load_prompt
from brickfilm.errors import UsageError

CASES = tomllib.loads((Path(__file__).parent / "lint_cases.toml").read_text())["caption"]


def test_precision_and_recall_on_labelled_captions() -> None:
    found = {(n, f.rule) for n, c in enumerate(CASES) for f in lint(c["text"])}
    true = {(n, rule) for n, c in enumerate(CASES) for rule in c["breaks"]}
    assert len(CASES) == 62
    precision, recall = len(found & true) / len(found), len(found & true) / len(true)
    print(f"precision {precision:.2f}, recall {recall:.2f}, {len(found)} findings")
    assert precision >= 0.9, sorted((CASES[n]["text"], rule) for n, rule in found - true)
    assert recall >= 0.9, sorted((CASES[n]["text"], rule) for n, rule in true - found)


@pytest.mark.parametrize("rule", list(RULES))
def test_every_rule_is_broken_by_some_labelled_caption(rule: str) -> None:
    assert any(rule in case["breaks"] for case in CASES)


@pytest.mark.parametrize("name", builtin_prompts())
def test_the_prompts_own_examples_keep_its_rules(name: str) -> None:
    for item_kind in ("clips", "images"):
        prompt = load_prompt(name, item_kind)
        assert set(prompt.rules) <= set(RULES)
        examples = [
            " ".join(line.removeprefix("> ") for line in block.splitlines())
            for block in prompt.text.split("\n\n")
            if block.startswith("> ")
        ]
        assert len(examples) == 3
        assert [lint(example, prompt.rules) for example in examples] == [[], [], []]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("A man", 1),
        ("A man. A dog.", 2),
        ("A 2.5 m tall man with J. R. on his shirt.", 1),
        ("He says “Stop!” to the dog. It stops… and runs.", 2),
        ("Who? Me! “You.” Them", 4),
    ],
)
def test_sentences_are_counted(text: str, count: int) -> None:
    assert count_sentences(text) == count


def test_words_of_the_prompt_are_a_leak() -> None:
    prompt = load_prompt("bricks").text
    stolen = "A courier in a yellow rain cape pedals a red cargo bicycle through a narrow night."
    assert [f.rule for f in lint(stolen, ("leak",), prompt)] == ["leak"]
    assert lint("A courier in a red cape rides.", ("leak",), prompt) == []


@pytest.mark.parametrize(
    "text",
    [
        "Un homme avec un chapeau rouge traverse la rue devant une maison blanche.",
        "Un hombre con sombrero rojo cruza la calle delante de una casa blanca.",
        "Мужчина в красной шляпе едет на велосипеде по узкой улице.",
        "一个戴红帽子的男人骑自行车穿过小巷。",
    ],
)
def test_other_languages_are_known(text: str) -> None:
    assert [f.rule for f in lint(text, ("language",))] == ["language"]


def test_a_complaint_names_the_words_and_the_remedy() -> None:
    findings = lint("The video shows a man who seems sad.")
    message = revision_prompt(findings)
    assert "'The video'" in message and RULES["medium"].remedy in message
    assert "'seems'" in message and RULES["hedging"].remedy in message


def test_a_place_is_reported_once_under_its_most_specific_rule() -> None:
    assert [f.rule for f in lint("In the second image a man waves.")] == ["stills"]
    assert [f.words for f in lint("The video shows a man.")] == ["The video"]
    assert [f.rule for f in lint("In the second image, a man waves.", ("medium",))] == ["medium"]


def test_captions_are_counted_once_a_rule() -> None:
    findings = [lint("He seems sad. She seems glad."), lint("He seems to be a LEGO man."), []]
    assert count_rules(findings) == {"hedging": 2, "toy": 1}


def test_an_unknown_rule_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no such lint rule: tone"):
        lint("x", ("tone",))


def test_a_caption_without_a_stop_takes_no_quadratic_time() -> None:
    begun = time.process_time()
    assert lint("brick " * 8000, ["dialogue"]) == []
    assert time.process_time() - begun < 5  # 19 s when each sentence was read to its end
