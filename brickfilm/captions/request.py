"""Build the request for the caption of one clip or image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from brickfilm.captions.aspects import EXTRA_TOKENS
from brickfilm.captions.backend import ChatMessage, ChatRequest, Detail
from brickfilm.captions.pricing import Price
from brickfilm.captions.prompts import ItemKind, Prompt, format_percentages
from brickfilm.captions.reply_format import reply_schema, schema_instruction
from brickfilm.captions.stills import encode_jpeg, read_written, scaled_size
from brickfilm.captions.token_bounds import (
    MESSAGE_TOKENS,
    counted_tokens,
    margin_of_counted,
    max_text_tokens,
)
from brickfilm.errors import Failed
from brickfilm.records import Clip, Image, Still

ClipOrImage = Clip | Image


MAX_VIDEO_BYTES = 64 * 2**20
"""Of a clip that is sent whole, in memory and once more in base64."""
VIDEO_SAMPLES_PER_SECOND = 2.0
"""Frames a second that vLLM and SGLang take by default, for estimates."""


@dataclass(frozen=True, kw_only=True)
class RequestParams:
    """Model and parameters of a request: everything except its text and stills."""

    model: str = "gpt-4o"
    image_size: int = 512
    """Long edge in pixels; 512 is one tile."""
    image_quality: int = 85
    detail: Detail = "high"
    max_tokens: int = 400
    """Of the reply, reasoning included."""
    temperature: float | None = None
    reasoning_effort: str | None = None


@dataclass(frozen=True, kw_only=True)
class CaptionRequest:
    """A rendered prompt and its stills; for a second attempt, also the first caption's faults."""

    item_kind: ItemKind
    system_prompt: str
    stills: tuple[Still, ...]
    params: RequestParams
    revision: tuple[str, str] | None = None
    """(first reply, revision prompt)."""
    structured: bool = False
    """True if the reply has aspects beside the caption."""
    schema: Mapping[str, Any] | None = None
    """JSON schema of the reply; None: that of a caption."""
    prompt_tokens: int | None = None
    """Most tokens of the system prompt, where they were counted; None: by its letters."""
    video: Clip | None = None
    """The clip whose file is sent in place of stills."""

    @classmethod
    def for_item(cls, item: ClipOrImage, prompt: Prompt, params: RequestParams) -> Self:
        """Render the prompt for an item's stills."""
        stills = stills_of(item)
        at = [s.at for s in stills]
        return cls(
            item_kind=prompt.item_kind,
            system_prompt=prompt.render(at),
            prompt_tokens=prompt.max_tokens(at),
            stills=stills,
            params=params,
            structured=prompt.is_structured,
        )

    def with_video(self, clip: Clip) -> Self:
        """Send the clip's own file in place of its stills."""
        return replace(self, stills=(), video=clip)

    def with_revision(self, reply: str, revision_prompt: str) -> Self:
        """Add the first reply, and a prompt that asks for a better one."""
        return replace(self, revision=(reply, revision_prompt))

    @property
    def key(self) -> list[str]:
        """Text and still digests, which with the request parameters determine the answer."""
        times = [self.user_text] if any(s.seconds is not None for s in self.stills) else []
        digests = [s.sha256 for s in self.stills]
        if self.video:
            times, digests = [self.user_text], ["video", self.video.sha256]
        return [self.system_prompt, *(self.revision or ()), *times, *digests]

    @property
    def user_text(self) -> str:
        if self.video:
            return f"The shot, {self.video.end - self.video.start:.2f} s:"
        times = [s.seconds for s in self.stills if s.seconds is not None]
        return user_text(self.item_kind, [s.at for s in self.stills], times)

    def chat(self, work: Path) -> ChatRequest:
        """Return the question to the model, with the stills read below `work`."""
        params = self.params
        return ChatRequest(
            model=params.model,
            messages=tuple(self._messages(work)),
            schema=self.schema or reply_schema(self.item_kind, structured=self.structured),
            max_tokens=self.max_tokens,
            detail=params.detail,
            temperature=params.temperature,
            reasoning_effort=params.reasoning_effort,
        )

    @property
    def max_tokens(self) -> int:
        """Return the most tokens of a reply: room for the aspects comes on top."""
        return self.params.max_tokens + (EXTRA_TOKENS if self.structured else 0)

    def max_token_counts(self, price: Price) -> tuple[int, int]:
        """Return the most (input, output) tokens that the request can be billed for."""
        prompt = self.prompt_tokens
        prompt = max_text_tokens(self.system_prompt) if prompt is None else prompt
        texts = (self.user_text, *(self.revision or ()))
        text_tokens = sum(max_text_tokens(text) + MESSAGE_TOKENS for text in texts)
        sent = prompt + MESSAGE_TOKENS + text_tokens + self._max_schema_tokens
        return sent + self._image_tokens(price), self.max_tokens

    def estimated_token_counts(self, price: Price, reply_tokens: int = 130) -> tuple[int, int]:
        """Estimate (input, output) tokens, at 4.2 characters of English a token."""
        reply_tokens += EXTRA_TOKENS // 2 if self.structured else 0
        seen = float(self._image_tokens(price))
        if clip := self.video:
            frames = VIDEO_SAMPLES_PER_SECOND * (clip.end - clip.start)
            seen *= min(1.0, frames / max(1, clip.span.frames))
        return round(len(self._text) / 4.2 + seen) + 60, reply_tokens

    @property
    def _text(self) -> str:
        return "".join((self.system_prompt, self.user_text, *(self.revision or ())))

    @property
    def _max_schema_tokens(self) -> int:
        """Most tokens of the reply's schema, which some servers get in words as well."""
        if self.schema is not None:
            return max_text_tokens(json.dumps(self.schema) + schema_instruction(self.schema))
        name = f"schema-{self.item_kind}{'-structured' if self.structured else ''}"
        return margin_of_counted(counted_tokens()[name])

    def _image_tokens(self, price: Price) -> int:
        """Return the tokens of the stills as they are sent; of unknown size, of a square.

        A server samples a video as it likes: at most, every frame counts as a still.
        """
        edge, detail = self.params.image_size, self.params.detail
        if clip := self.video:
            return clip.span.frames * price.image_tokens(clip.width, clip.height, detail)
        sizes = (scaled_size(s.width or edge, s.height or edge, edge) for s in self.stills)
        return sum(price.image_tokens(*size, detail) for size in sizes)

    def _messages(self, work: Path) -> Iterator[ChatMessage]:
        size, quality = self.params.image_size, self.params.image_quality
        jpegs = tuple(
            encode_jpeg(work / s.path, size=size, quality=quality, sha256=s.sha256 or None)
            for s in self.stills
        )
        yield ChatMessage(role="system", text=self.system_prompt)
        mp4 = _read_video(self.video, work) if self.video else None
        yield ChatMessage(role="user", text=self.user_text, jpegs=jpegs, mp4=mp4)
        if self.revision is not None:
            reply, revision_prompt = self.revision
            yield ChatMessage(role="assistant", text=reply)
            yield ChatMessage(role="user", text=revision_prompt)


def user_text(item_kind: ItemKind, at: Sequence[float], seconds: Sequence[float] = ()) -> str:
    """Return the text that precedes the stills: their positions, or their times if known."""
    if item_kind == "images":
        return "The still:"
    if seconds:
        return f"The stills, at {', '.join(f'{time:.2f} s' for time in seconds)}:"
    return f"The stills, at {format_percentages(at)}:"


def _read_video(clip: Clip, work: Path) -> bytes:
    """Return the bytes of a clip's file; raise Failed if it is missing or too large to send."""
    file = work / (clip.path or "")
    try:
        size = file.stat().st_size
        if size > MAX_VIDEO_BYTES:
            raise Failed(
                f"clip {clip.id} has {size / 2**20:.0f} MiB, and at most "
                f"{MAX_VIDEO_BYTES >> 20} are sent: shorten or downscale clips "
                "(SceneSplitter(max_frames=), ClipWriter(max_height=)), or send stills",
                reason="video too large",
            )
        return read_written(file, clip.sha256 or None)
    except OSError as error:
        raise Failed(f"clip {file} cannot be read: {error}", reason="no video") from error


def stills_of(item: ClipOrImage) -> tuple[Still, ...]:
    """Return a clip's stills in temporal order; an image is its own still, at 0.5."""
    if isinstance(item, Image):
        size = {"width": item.width, "height": item.height}
        return (Still(frame=item.frame, at=0.5, path=item.path, sha256=item.sha256, **size),)
    return tuple(sorted(item.stills, key=lambda s: s.frame))
