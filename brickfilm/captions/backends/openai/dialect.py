"""Request parameters that a Chat Completions server understands, learned from its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from brickfilm.captions.backend import JsonMode
from brickfilm.captions.reply_format import schema_instruction

EFFORTS = ("none", "minimal", "low")
"""Reasoning efforts, cheapest first; a model has some of them."""
_FORMATS = ("json_schema", "json_object", "text")
_FORMAT_WORDS = ("response_format", *_FORMATS[:2])


@dataclass(frozen=True)
class Dialect:
    """Note the options that a server accepts; the defaults are the newest."""

    response_formats: tuple[str, ...] = _FORMATS
    schema_in_words: bool = False
    max_tokens_field: str = "max_completion_tokens"
    refused: frozenset[str] = frozenset()
    """Optional parameters that are left out."""
    lowest_effort: str = EFFORTS[0]
    system_role: bool = True

    @classmethod
    def for_json_mode(cls, mode: JsonMode) -> Self:
        """Return the newest dialect that a JSON mode allows."""
        return cls(_FORMATS[{"auto": 0, "schema": 0, "object": 1, "text": 2}[mode] :])

    @property
    def forces_json(self) -> bool:
        return self.response_formats[0] != "text"

    def adapt(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Rewrite a request body for this dialect."""
        adapted = {name: value for name, value in body.items() if name not in self.refused}
        adapted[self.max_tokens_field] = adapted.pop("max_completion_tokens")
        if adapted.get("reasoning_effort") in set(EFFORTS) - {self.lowest_effort}:
            lowest, wanted = map(EFFORTS.index, (self.lowest_effort, adapted["reasoning_effort"]))
            adapted["reasoning_effort"] = EFFORTS[max(lowest, wanted)]
        schema = body["response_format"]["json_schema"]["schema"]
        if self.response_formats[0] != "json_schema":
            adapted.pop("response_format")
        if self.response_formats[0] == "json_object":
            adapted["response_format"] = {"type": "json_object"}
        if self.schema_in_words or self.response_formats[0] != "json_schema":
            adapted["messages"] = _instructed(adapted["messages"], schema_instruction(schema))
        if not self.system_role:
            adapted["messages"] = _without_system(adapted["messages"])
        return adapted

    def change_to(self, other: Dialect) -> str:
        """Return what a server does not support here, and what another dialect sends instead."""
        mine = self.response_formats[0]
        dropped = ", ".join(sorted(other.refused - self.refused))
        words = {
            "response_formats": (f"response_format {mine}", other.response_formats[0]),
            "schema_in_words": ("a schema without words", "words as well"),
            "max_tokens_field": (self.max_tokens_field, other.max_tokens_field),
            "refused": (dropped, "requests without it"),
            "lowest_effort": (f"reasoning_effort {self.lowest_effort}", other.lowest_effort),
            "system_role": ("the role system", "the user's message"),
        }
        changed = [words[name] for name in words if getattr(self, name) != getattr(other, name)]
        return "; using ".join(" and ".join(said) for said in zip(*changed, strict=True))

    def fallback(self, error: str, effort: str = "") -> Dialect | None:
        """Return the next older dialect, or None if the error is not about the dialect.

        effort: the reasoning effort of the request.
        """
        if len(self.response_formats) > 1 and any(word in error for word in _FORMAT_WORDS):
            return replace(self, response_formats=self.response_formats[1:])
        if "reasoning_effort" in error and "reasoning_effort" not in self.refused:
            return self._other_effort(error, effort)
        if "temperature" in error and "temperature" not in self.refused:
            return replace(self, refused=self.refused | {"temperature"})
        if self.max_tokens_field == "max_completion_tokens" and self.max_tokens_field in error:
            return replace(self, max_tokens_field="max_tokens")
        if self.system_role and "role" in error and "system" in error:
            return replace(self, system_role=False)
        return None

    def _other_effort(self, error: str, effort: str) -> Dialect:
        """Try the next effort if only the value is refused, else leave the parameter out."""
        left = EFFORTS[EFFORTS.index(effort) + 1 :] if effort in EFFORTS else ()
        if left and "value" in error.lower():
            return replace(self, lowest_effort=left[0])
        return replace(self, refused=self.refused | {"reasoning_effort"})


def _instructed(messages: Sequence[Mapping[str, Any]], text: str) -> list[Mapping[str, Any]]:
    """Add a paragraph to the first message, which is the prompt."""
    first, *others = messages
    return [{**first, "content": f"{first['content']}\n\n{text}"}, *others]


def _without_system(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Put the prompt before the text of the user's first message."""
    system, user, *others = messages
    content = user["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    prompt = {"type": "text", "text": system["content"]}
    return [{**user, "content": [prompt, *parts]}, *others]
