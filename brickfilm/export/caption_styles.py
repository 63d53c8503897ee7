"""Write a row's caption as a target model expects it: the only place where captions change.

Trainers read one line: SimpleTuner takes each line as a caption of its own, finetrainers pairs the
lines of two files, ai-toolkit turns line breaks into commas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brickfilm.files import parse_json
from brickfilm.schema.columns import CAPTION_STYLES


def render_caption(columns: Mapping[str, Any], style: str) -> str:
    """Return the caption of a row in a style, as one line.

    The column `captions` holds JSON (style -> text) where a captioner was asked for it; other rows
    have one caption for all styles.
    """
    text = _parse_styles(columns.get(CAPTION_STYLES)).get(style) or columns.get("caption") or ""
    return " ".join(text.split())


def _parse_styles(cell: object) -> Mapping[str, str]:
    """Return captions by style; {} for anything but a JSON object of texts."""
    try:
        styles = parse_json(cell) if isinstance(cell, str) else {}
    except ValueError:
        return {}
    if not isinstance(styles, Mapping):
        return {}
    return {name: text for name, text in styles.items() if isinstance(text, str) and text.strip()}
