"""A text is searched by a pattern only if it has one of the pattern's words: none is missed so."""

from __future__ import annotations

import pytest

from brickfilm.captions.refusals import REFUSAL_PATTERNS, find_refusal

REFUSALS = (
    "I can't assist with that.",
    "I can’t describe these stills.",
    "We cannot identify people.",
    "I am unable to help.",
    "I'm not able to see images",
    "I won't write that.",
    "I will not caption this.",
    "I must decline to describe it.",
    "I'm very sorry, no.",
    "Sorry, but I have no words.",
    "ſorry, I have none.",
    "My apologies: nothing here.",
    "I apologise.",
    "Unfortunately, I see nothing.",
    "As an AI I do not watch films.",
    "As a large language model I read.",
    "That is against our content policy.",
    "It violates the guidelines.",
    "No caption",
    "Insufficient information to tell.",
    "Not enough context here.",
    "Captioning failed",
    "Caption not available",
    "Please upload the stills.",
    "No images were provided.",
    "Without stills attached I guess: no stills are attached",
    "no frames have been given",
    "no pictures were uploaded",
    "N/A",
    "none.",
    "NULL",
    "error",
)


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_found_with_and_without_its_words(text: str) -> None:
    plain = next((m.group(0) for _, p in REFUSAL_PATTERNS if (m := p.search(text))), None)
    assert plain is not None
    assert find_refusal(f" {text}\n") == plain


def test_a_description_is_no_refusal() -> None:
    assert find_refusal("A notable captain cannot be seen; a man apologises to nobody.") is None
