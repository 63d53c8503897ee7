"""What a model may answer, and reading it: a status and a caption, nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from brickfilm.captions.prompts import ItemKind

DESCRIBED: Final = "described"
ESCAPE_STATUSES: Final[dict[ItemKind, tuple[str, ...]]] = {
    "clips": ("not_enough_information", "single_image", "no_movement"),
    "images": ("not_enough_information",),
}
REFUSAL: Final = "refusal"
FILTERED: Final = "content_filter"
TRUNCATED: Final = "truncated"


class MalformedReply(Exception):
    """Text that is not the asked JSON."""


@dataclass(frozen=True)
class ParsedReply:
    """A model's answer, read. `caption` is empty unless `status` is 'described'."""

    status: str
    caption: str = ""


def reply_schema(item_kind: ItemKind) -> dict[str, Any]:
    """The strict JSON schema of an answer about a clip or an image."""
    return {
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": [DESCRIBED, *ESCAPE_STATUSES[item_kind]]},
            "caption": {"type": "string", "description": "empty unless status is 'described'"},
        },
        "required": ["status", "caption"],
        "additionalProperties": False,
    }


def parse_reply(text: str, item_kind: ItemKind) -> ParsedReply:
    """Parse an answer; a Markdown fence is forgiven, as servers without schemas add one."""
    try:
        answer = json.loads(_strip_code_fence(text))
        status, caption = answer["status"], answer["caption"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise MalformedReply(f"not the asked JSON: {text[:80]!r}") from error
    if status not in (DESCRIBED, *ESCAPE_STATUSES[item_kind]) or not isinstance(
        caption, str | None
    ):
        raise MalformedReply(f"not an answer we offered: {text[:80]!r}")
    if status != DESCRIBED:
        return ParsedReply(status)
    words = " ".join((caption or "").split())
    if not words:
        raise MalformedReply("described, but the caption is empty")
    return ParsedReply(status, words)


def format_reply(caption: str) -> str:
    """A caption in the form in which a model gave it."""
    return json.dumps({"status": DESCRIBED, "caption": caption}, ensure_ascii=False)


def _strip_code_fence(text: str) -> str:
    lines = text.strip().splitlines()
    if len(lines) > 2 and lines[0].startswith("```") and lines[-1].strip() == "```":
        return "\n".join(lines[1:-1])
    return text
