"""Define and parse the JSON reply of the model: a status and a caption."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from brickfilm.captions.aspects import ASPECTS, parse_aspects
from brickfilm.captions.json_reply import last_object, one_line, unwrapped
from brickfilm.captions.prompts import ItemKind

DESCRIBED: Final = "described"
ESCAPE_STATUSES: Final[dict[ItemKind, tuple[str, ...]]] = {
    "clips": ("not_enough_information", "single_image", "no_movement"),
    "images": ("not_enough_information",),
}
REFUSAL: Final = "refusal"
FILTERED: Final = "content_filter"
TRUNCATED: Final = "truncated"
STATUSES: Final = (DESCRIBED, *ESCAPE_STATUSES["clips"], REFUSAL, FILTERED, TRUNCATED)
"""Every status that a caption can have."""


class MalformedReply(Exception):
    """The reply does not follow the JSON schema."""


@dataclass(frozen=True)
class ParsedReply:
    """Status and caption of a reply; `caption` is empty unless `status` is 'described'."""

    status: str
    caption: str = ""
    aspects: Mapping[str, str] = field(default_factory=dict)


def reply_schema(item_kind: ItemKind, *, structured: bool = False) -> dict[str, Any]:
    """Return the strict JSON schema of a reply about a clip or an image."""
    aspects = ASPECTS if structured else {}
    return {
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": [DESCRIBED, *ESCAPE_STATUSES[item_kind]]},
            "caption": {"type": "string", "description": "empty unless status is 'described'"},
            **{name: {"type": "string", "description": text} for name, text in aspects.items()},
        },
        "required": ["status", "caption", *aspects],
        "additionalProperties": False,
    }


def parse_reply(text: str, item_kind: ItemKind) -> ParsedReply:
    """Parse a reply; a model without a forced schema may wrap its JSON in thoughts and prose.

    Raises MalformedReply if no object in it follows the schema.
    """
    reply = last_object(text, key="status")
    if reply is None:
        raise MalformedReply(f"the reply is no JSON object with a status: {text[:80]!r}")
    status, caption = reply["status"], reply.get("caption")
    normal = "_".join(status.lower().split()) if isinstance(status, str) else status
    if normal not in (DESCRIBED, *ESCAPE_STATUSES[item_kind]):
        raise MalformedReply(f"the model returned a status outside the schema: {status!r:.80}")
    if normal != DESCRIBED:
        return ParsedReply(normal)
    if not isinstance(caption, str | None):
        raise MalformedReply(f"the model returned a caption that is no text: {text[:80]!r}")
    return ParsedReply(DESCRIBED, _non_empty(one_line(caption or "")), parse_aspects(reply))


def parse_prose(text: str) -> ParsedReply:
    """Take a reply in prose as the caption, from a service that has no JSON mode."""
    return ParsedReply(DESCRIBED, _non_empty(one_line(unwrapped(text))))


def schema_instruction(schema: Mapping[str, Any]) -> str:
    """Return the schema of a reply in words, for a model that no schema can be forced upon."""
    fields = ", ".join(f'"{name}": {_values(form)}' for name, form in schema["properties"].items())
    return f"Answer with JSON alone: {{{fields}}}"


def _values(form: Mapping[str, Any]) -> str:
    if "enum" in form:
        return "one of " + ", ".join(f'"{value}"' for value in form["enum"])
    return '"..."' if form.get("type") == "string" else f"({form.get('type')})"


def _non_empty(caption: str) -> str:
    if not caption:
        raise MalformedReply("the status is 'described' but the caption is empty")
    return caption


def is_caption_reason(reason: str) -> bool:
    """Return True if items are rejected for this reason because of their caption."""
    by_name = (*STATUSES, "no caption", "caption too long", "rejected by hand")
    return reason in by_name or reason.startswith("audit: ")


def format_reply(caption: str, aspects: Mapping[str, str] | None = None) -> str:
    """Format a caption and its aspects as the JSON reply of the model."""
    reply = {"status": DESCRIBED, "caption": caption, **(aspects or {})}
    return json.dumps(reply, ensure_ascii=False)
