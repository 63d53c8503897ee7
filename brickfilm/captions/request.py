"""One question about one clip or image, as the body of a Chat Completions request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from brickfilm.captions.pricing import Price
from brickfilm.captions.prompts import Prompt, Subject, percentages
from brickfilm.captions.reply_format import schema
from brickfilm.captions.stills import data_url, jpeg
from brickfilm.records import Clip, Image, Still

Captioned = Clip | Image
Detail = Literal["low", "high", "auto"]
OVERHEAD = 200
"""Tokens for the schema, roles and separators: generous, as no reservation may be too small."""


@dataclass(frozen=True, kw_only=True)
class Look:
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
class Question:
    """A prompt, rendered, and its stills; with what was wrong with a first answer, if any."""

    subject: Subject
    words: str
    stills: tuple[Still, ...]
    look: Look
    correction: tuple[str, str] | None = None
    """(the first caption, what was wrong with it)."""

    @classmethod
    def about(cls, item: Captioned, prompt: Prompt, look: Look) -> Self:
        stills = stills_of(item)
        words = prompt.render([s.at for s in stills])
        return cls(subject=prompt.subject, words=words, stills=stills, look=look)

    def corrected(self, caption: str, complaint: str) -> Self:
        return replace(self, correction=(caption, complaint))

    @property
    def key(self) -> list[str]:
        """What the answer depends on, besides the look: the words and the pictures' bytes."""
        return [self.words, *(self.correction or ()), *(s.sha256 for s in self.stills)]

    def messages(self, work: Path) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = [
            {"role": "system", "content": self.words},
            {"role": "user", "content": [_text(self.opening), *self._pictures(work)]},
        ]
        if self.correction is not None:
            caption, complaint = self.correction
            asked.append({"role": "assistant", "content": caption})
            asked.append({"role": "user", "content": complaint})
        return asked

    @property
    def opening(self) -> str:
        return opening(self.subject, [s.at for s in self.stills])

    def body(self, work: Path) -> dict[str, Any]:
        """The request's JSON, in the newest words; a client may have to use older ones."""
        optional = {
            "temperature": self.look.temperature,
            "reasoning_effort": self.look.reasoning_effort,
        }
        return {
            "model": self.look.model,
            "messages": self.messages(work),
            "max_completion_tokens": self.look.max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "caption", "strict": True, "schema": schema(self.subject)},
            },
            **{name: value for name, value in optional.items() if value is not None},
        }

    def most_tokens(self, price: Price) -> tuple[int, int]:
        """(input, output) tokens it can take at most: a token is never less than a byte."""
        text = "".join((self.words, self.opening, *(self.correction or ())))
        return len(text.encode()) + OVERHEAD + self._image_tokens(price), self.look.max_tokens

    def likely_tokens(self, price: Price, answer: int = 130) -> tuple[int, int]:
        """(input, output) tokens to expect until a real usage is known: 4.2 letters a token."""
        text = "".join((self.words, self.opening, *(self.correction or ())))
        return round(len(text) / 4.2) + 60 + self._image_tokens(price), answer

    def _image_tokens(self, price: Price) -> int:
        edge = self.look.image_size
        return len(self.stills) * price.image_tokens(edge, edge, self.look.detail)

    def _pictures(self, work: Path) -> Sequence[Mapping[str, Any]]:
        sent = (
            jpeg(work / s.path, size=self.look.image_size, quality=self.look.image_quality)
            for s in self.stills
        )
        return [
            {"type": "image_url", "image_url": {"url": data_url(s), "detail": self.look.detail}}
            for s in sent
        ]


def opening(subject: Subject, at: Sequence[float]) -> str:
    """The words before the stills."""
    return "The still:" if subject == "images" else f"The stills, at {percentages(at)}:"


def stills_of(item: Captioned) -> tuple[Still, ...]:
    """A clip's stills in the order of time; an image is its own still, in the middle."""
    if isinstance(item, Image):
        return (Still(frame=item.frame, at=0.5, path=item.path, sha256=item.sha256),)
    return tuple(sorted(item.stills, key=lambda s: s.frame))


def _text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}
