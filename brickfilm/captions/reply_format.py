"""What a model may answer, and reading it: a status and a caption, nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from brickfilm.captions.prompts import Subject

DESCRIBED: Final = "described"
ESCAPES: Final[dict[Subject, tuple[str, ...]]] = {
    "clips": ("not_enough_information", "single_image", "no_movement"),
    "images": ("not_enough_information",),
}
REFUSAL: Final = "refusal"
FILTERED: Final = "content_filter"
TRUNCATED: Final = "truncated"


class Malformed(Exception):
    """Text that is not the asked JSON."""


@dataclass(frozen=True)
class Said:
    """A model's answer, read. `caption` is empty unless `status` is 'described'."""

    status: str
    caption: str = ""


def schema(subject: Subject) -> dict[str, Any]:
    """The strict JSON schema of an answer about a clip or an image."""
    return {
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": [DESCRIBED, *ESCAPES[subject]]},
            "caption": {"type": "string", "description": "empty unless status is 'described'"},
        },
        "required": ["status", "caption"],
        "additionalProperties": False,
    }


def read(text: str, subject: Subject) -> Said:
    """Parse an answer; a Markdown fence is forgiven, as servers without schemas add one."""
    try:
        answer = json.loads(_unfenced(text))
        status, caption = answer["status"], answer["caption"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise Malformed(f"not the asked JSON: {text[:80]!r}") from error
    if status not in (DESCRIBED, *ESCAPES[subject]) or not isinstance(caption, str | None):
        raise Malformed(f"not an answer we offered: {text[:80]!r}")
    if status != DESCRIBED:
        return Said(status)
    words = " ".join((caption or "").split())
    if not words:
        raise Malformed("described, but the caption is empty")
    return Said(status, words)


def as_answer(caption: str) -> str:
    """A caption in the form in which a model gave it."""
    return json.dumps({"status": DESCRIBED, "caption": caption}, ensure_ascii=False)


def _unfenced(text: str) -> str:
    lines = text.strip().splitlines()
    if len(lines) > 2 and lines[0].startswith("```") and lines[-1].strip() == "```":
        return "\n".join(lines[1:-1])
    return text
