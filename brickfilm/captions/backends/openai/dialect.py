"""Request parameters that a Chat Completions server understands, learned from its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Dialect:
    """The newest response format and the name of the token limit that a server accepts."""

    response_formats: tuple[str, ...] = ("json_schema", "json_object", "text")
    max_tokens_field: str = "max_completion_tokens"

    def adapt(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Rewrite a request body for this dialect."""
        adapted = dict(body)
        adapted[self.max_tokens_field] = adapted.pop("max_completion_tokens")
        if self.response_formats[0] != "json_schema":
            schema = adapted.pop("response_format")["json_schema"]["schema"]
            adapted["messages"] = [*adapted["messages"], _schema_instruction(schema)]
        if self.response_formats[0] == "json_object":
            adapted["response_format"] = {"type": "json_object"}
        return adapted

    def fallback(self, error_message: str) -> Dialect | None:
        """Return the next older dialect, or None if the error is not about the dialect."""
        format_names = ("response_format", "json_schema", "json_object")
        if len(self.response_formats) > 1 and any(name in error_message for name in format_names):
            return replace(self, response_formats=self.response_formats[1:])
        if (
            self.max_tokens_field == "max_completion_tokens"
            and self.max_tokens_field in error_message
        ):
            return replace(self, max_tokens_field="max_tokens")
        return None


def _schema_instruction(schema: Mapping[str, Any]) -> dict[str, str]:
    statuses = ", ".join(f'"{s}"' for s in schema["properties"]["status"]["enum"])
    text = f'Answer with JSON alone: {{"status": one of {statuses}, "caption": "..."}}'
    return {"role": "system", "content": text}
