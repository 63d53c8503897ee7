"""One question about one clip or image, as the body of a Chat Completions request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from brickfilm.captions.pricing import Price
from brickfilm.captions.prompts import ItemKind, Prompt, format_percentages
from brickfilm.captions.reply_format import reply_schema
from brickfilm.captions.stills import data_url, encode_jpeg
from brickfilm.records import Clip, Image, Still

ClipOrImage = Clip | Image
Detail = Literal["low", "high", "auto"]
OVERHEAD_TOKENS = 200
"""Tokens for the schema, roles and separators: generous, as no reservation may be too small."""


@dataclass(frozen=True, kw_only=True)
class RequestParams:
    """How stills are sent and how the model is to answer: everything besides words and pictures."""

    model: str = "gpt-4o"
    image_size: int = 512
    """Long edge in pixels; 512 is one tile."""
    image_quality: int = 85
    detail: Detail = "high"
    max_tokens: int = 400
    """Of the answer, thinking included."""
    temperature: float | None = None
    reasoning_effort: str | None = None


@dataclass(frozen=True, kw_only=True)
class CaptionRequest:
    """A prompt, rendered, and its stills; with what was wrong with a first answer, if any."""

    item_kind: ItemKind
    words: str
    stills: tuple[Still, ...]
    request_params: RequestParams
    revision: tuple[str, str] | None = None
    """(the first caption, what was wrong with it)."""

    @classmethod
    def for_item(cls, item: ClipOrImage, prompt: Prompt, request_params: RequestParams) -> Self:
        stills = stills_of(item)
        words = prompt.render([s.at for s in stills])
        return cls(
            item_kind=prompt.item_kind, words=words, stills=stills, request_params=request_params
        )

    def with_revision(self, caption: str, revision_prompt: str) -> Self:
        return replace(self, revision=(caption, revision_prompt))

    @property
    def key(self) -> list[str]:
        """What the answer depends on, besides the look: the words and the pictures' bytes."""
        return [self.words, *(self.revision or ()), *(s.sha256 for s in self.stills)]

    def messages(self, work: Path) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = [
            {"role": "system", "content": self.words},
            {"role": "user", "content": [_text_part(self.user_text), *self._image_parts(work)]},
        ]
        if self.revision is not None:
            caption, revision_prompt = self.revision
            asked.append({"role": "assistant", "content": caption})
            asked.append({"role": "user", "content": revision_prompt})
        return asked

    @property
    def user_text(self) -> str:
        return user_text(self.item_kind, [s.at for s in self.stills])

    def body(self, work: Path) -> dict[str, Any]:
        """The request's JSON, in the newest words; a client may have to use older ones."""
        optional = {
            "temperature": self.request_params.temperature,
            "reasoning_effort": self.request_params.reasoning_effort,
        }
        return {
            "model": self.request_params.model,
            "messages": self.messages(work),
            "max_completion_tokens": self.request_params.max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "caption",
                    "strict": True,
                    "schema": reply_schema(self.item_kind),
                },
            },
            **{name: value for name, value in optional.items() if value is not None},
        }

    def max_token_counts(self, price: Price) -> tuple[int, int]:
        """(input, output) tokens it can take at most: a token is never less than a byte."""
        text = "".join((self.words, self.user_text, *(self.revision or ())))
        return len(text.encode()) + OVERHEAD_TOKENS + self._image_tokens(
            price
        ), self.request_params.max_tokens

    def estimated_token_counts(self, price: Price, answer: int = 130) -> tuple[int, int]:
        """(input, output) tokens to expect until a real usage is known: 4.2 letters a token."""
        text = "".join((self.words, self.user_text, *(self.revision or ())))
        return round(len(text) / 4.2) + 60 + self._image_tokens(price), answer

    def _image_tokens(self, price: Price) -> int:
        edge = self.request_params.image_size
        return len(self.stills) * price.image_tokens(edge, edge, self.request_params.detail)

    def _image_parts(self, work: Path) -> Sequence[Mapping[str, Any]]:
        sent = (
            encode_jpeg(
                work / s.path,
                size=self.request_params.image_size,
                quality=self.request_params.image_quality,
            )
            for s in self.stills
        )
        return [
            {
                "type": "image_url",
                "image_url": {"url": data_url(s), "detail": self.request_params.detail},
            }
            for s in sent
        ]


def user_text(item_kind: ItemKind, at: Sequence[float]) -> str:
    """The words before the stills."""
    return "The still:" if item_kind == "images" else f"The stills, at {format_percentages(at)}:"


def stills_of(item: ClipOrImage) -> tuple[Still, ...]:
    """A clip's stills in the order of time; an image is its own still, in the middle."""
    if isinstance(item, Image):
        return (Still(frame=item.frame, at=0.5, path=item.path, sha256=item.sha256),)
    return tuple(sorted(item.stills, key=lambda s: s.frame))


def _text_part(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}
