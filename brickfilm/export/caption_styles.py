"""Write a row's caption as a target model expects it: the only place where captions change.

Trainers read one line: SimpleTuner takes each line as a caption of its own, finetrainers pairs the
lines of two files, ai-toolkit turns line breaks into commas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MAX_WORDS = {"wan2.2": 100}
"""Words by style. Wan 2.2 rewrites prompts to at most 100 words (wan/utils/system_prompt.py)."""


def render_caption(columns: Mapping[str, Any], style: str) -> str:
    """Return the caption of a row in a style, as one line.

    A column `captions` with JSON (style -> text) is preferred to `caption`. The short form of it
    replaces a caption that is too long for the style; a text without one is never cut.
    """
    styles = _parse_styles(columns.get("captions"))
    text = styles.get(style) or columns.get("caption") or ""
    limit = MAX_WORDS.get(style)
    if limit and len(text.split()) > limit:
        text = styles.get("short") or text
    return " ".join(text.split())


def _parse_styles(cell: object) -> Mapping[str, str]:
    """Return captions by style; {} for anything but a JSON object of texts."""
    try:
        styles = json.loads(cell) if isinstance(cell, str) else {}
    except ValueError:
        return {}
    if not isinstance(styles, Mapping):
        return {}
    return {name: text for name, text in styles.items() if isinstance(text, str) and text.strip()}
