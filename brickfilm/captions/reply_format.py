"""Define and parse the JSON reply of the model: a status and a caption."""

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
    """The reply does not follow the JSON schema."""


@dataclass(frozen=True)
class ParsedReply:
    """Status and caption of a reply; `caption` is empty unless `status` is 'described'."""

    status: str
    caption: str = ""


def reply_schema(item_kind: ItemKind) -> dict[str, Any]:
    """Return the strict JSON schema of a reply about a clip or an image."""
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
    """Parse a reply; servers without JSON schemas may wrap it in a Markdown code fence.

    Raises MalformedReply if it does not follow the schema.
    """
    try:
        reply = json.loads(_strip_code_fence(text))
        status, caption = reply["status"], reply["caption"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise MalformedReply(
            f"the reply is no JSON object with status and caption: {text[:80]!r}"
        ) from error
    if status not in (DESCRIBED, *ESCAPE_STATUSES[item_kind]):
        raise MalformedReply(f"the model returned a status outside the schema: {status!r:.80}")
    if not isinstance(caption, str | None):
        raise MalformedReply(f"the model returned a caption that is no text: {text[:80]!r}")
    if status != DESCRIBED:
        return ParsedReply(status)
    one_line = " ".join((caption or "").split())
    if not one_line:
        raise MalformedReply("the status is 'described' but the caption is empty")
    return ParsedReply(status, one_line)


def format_reply(caption: str) -> str:
    """Format a caption as the JSON reply of the model."""
    return json.dumps({"status": DESCRIBED, "caption": caption}, ensure_ascii=False)


def _strip_code_fence(text: str) -> str:
    lines = text.strip().splitlines()
    if len(lines) > 2 and lines[0].startswith("```") and lines[-1].strip() == "```":
        return "\n".join(lines[1:-1])
    return text
