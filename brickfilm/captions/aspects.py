"""The parts of a structured answer, and the captions in other styles that are made from them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from brickfilm.captions.json_reply import one_line

ASPECTS: Mapping[str, str] = {
    "subjects": "who and what is there, with looks, colours and places",
    "action": "what they do, from start to end",
    "setting": "place, background, time of day, weather",
    "camera": "size of the shot, point of view, movement of the view",
    "light": "sources, direction and colour of the light, and the mood it makes",
    "style": "technique, materials, palette",
    "text_on_screen": "words that can be read, in quotation marks; empty if there are none",
    "short": "the whole in one sentence of at most 25 words",
}
"""Field of the reply to what it holds. The long form is the caption itself."""

STRUCTURE = (
    "Besides `caption`, fill in these fields. Each is plain prose in whole sentences, obeys the "
    "rules above, and is empty if there is nothing to say or no caption:\n\n"
) + "\n".join(f"- `{name}`: {content}" for name, content in ASPECTS.items())
"""Paragraph added to a prompt, to get a structured answer."""

EXTRA_TOKENS = 600
"""Of a structured reply, above those of the caption: eight fields of 75 tokens."""
MAX_WAN_WORDS = 100
"""Wan 2.2 rewrites prompts to at most 100 words (wan/utils/system_prompt.py)."""
_ORDER_OF_ASPECTS = ("subjects", "text_on_screen", "action", "setting", "light", "style", "camera")
"""HunyuanVideo 1.5 describes content, shape and text, actions, background and light, camera."""
_REPEATED = 0.6
"""A sentence adds nothing to a caption that has this share of its longer words."""


def parse_aspects(reply: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a reply that hold text; a list of texts becomes one text."""
    found = {name: _text(reply.get(name)) for name in ASPECTS}
    return {name: text for name, text in found.items() if text}


def captions_json(caption: str, aspects: Mapping[str, str]) -> str:
    """Return a caption's other styles and its aspects as JSON (name to text); '' without aspects.

    Styles: `short` (one sentence), `paragraph` (all there is, for LTX and most others), `wan2.2`
    (at most 100 words) and `aspects` (HunyuanVideo). Each is made of whole sentences.
    """
    if not aspects:
        return ""
    extra = [s for name in _ORDER_OF_ASPECTS for s in _sentences(aspects.get(name, ""))]
    styles = {
        "paragraph": " ".join([caption, *_new_sentences(extra, caption)]),
        "wan2.2": _within(MAX_WAN_WORDS, caption, aspects.get("short", ""), extra),
        "aspects": " ".join(extra) or caption,
    }
    return json.dumps({**aspects, **styles}, ensure_ascii=False)


def _text(value: object) -> str:
    if isinstance(value, list):
        value = ", ".join(part for part in value if isinstance(part, str))
    text = one_line(value) if isinstance(value, str) else ""
    return text if not text or text[-1] in ".!?”\"'" else f"{text}."


def _sentences(text: str) -> list[str]:
    return [s for s in re.split(r"(?<=[.!?])\s+(?=[A-Z“\"])", text) if s]


def _new_sentences(sentences: Iterable[str], caption: str) -> Iterable[str]:
    """Yield the sentences that say something more than the text before them."""
    known = set(_long_words(caption))
    for sentence in sentences:
        words = _long_words(sentence)
        if words and sum(word in known for word in words) < _REPEATED * len(words):
            known.update(words)
            yield sentence


def _long_words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if len(word) > 3]


def _within(limit: int, caption: str, short: str, extra: Iterable[str]) -> str:
    """Return the caption if it is short enough, else the short one and what still fits."""
    if len(caption.split()) <= limit or not short:
        return caption
    words = len(short.split())
    parts = [short]
    for sentence in _new_sentences(extra, short):
        words += len(sentence.split())
        if words > limit:
            break
        parts.append(sentence)
    return " ".join(parts)
