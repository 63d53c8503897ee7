"""Backend, the protocol of a way to get captions: request, reply, and what it can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from brickfilm.captions.completion import CaptionStage
    from brickfilm.engine.capabilities import BatchService

Detail = Literal["low", "high", "auto"]
MAX_PLAUSIBLE_TOKENS = 4_000_000
"""Of one request; the largest context window of 2026 has a fourth of it."""
JsonMode = Literal["auto", "schema", "object", "text"]


@dataclass(frozen=True, kw_only=True)
class Service:
    """Model, address, key and timeouts of a service; only the model may change an answer."""

    model: str
    base_url: str | None = field(default=None, repr=False)
    api_key_env: str = "OPENAI_API_KEY"
    proxy: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    """Seconds for one request."""
    total_timeout: float = 180.0
    """Seconds for one request and its retries together."""
    concurrency: int = 8
    json_mode: JsonMode = "auto"
    """Way to force a reply into JSON; 'auto' learns what the service can do."""


@dataclass(frozen=True, kw_only=True)
class ChatMessage:
    """One message: its text, then its pictures as JPEG bytes, in temporal order."""

    role: Literal["system", "user", "assistant"]
    text: str
    jpegs: tuple[bytes, ...] = field(default=(), repr=False)
    mp4: bytes | None = field(default=None, repr=False)
    """A video, in place of pictures."""


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """A question to a vision model, independent of the protocol that carries it."""

    model: str
    messages: tuple[ChatMessage, ...]
    schema: Mapping[str, Any]
    """JSON schema of the reply."""
    schema_name: str = "caption"
    max_tokens: int
    """Of the reply, reasoning included."""
    detail: Detail = "high"
    temperature: float | None = None
    reasoning_effort: str | None = None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of a request as the service counted them; None if it did not say."""

    input: int | None = None
    output: int | None = None
    """Reasoning included."""
    cached: int = 0
    reasoning: int = 0

    @property
    def is_plausible(self) -> bool:
        """Return False for counts that are missing, negative or beyond any context window."""
        counts = (self.input, self.output, self.cached, self.reasoning)
        return all(n is not None and 0 <= n <= MAX_PLAUSIBLE_TOKENS for n in counts)


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A reply of a model, before it is parsed."""

    text: str
    model: str
    finish_reason: str = "stop"
    """'length' if it was cut, 'content_filter' if the service withheld it."""
    refusal: str = ""
    usage: Usage = Usage()
    cost: float | None = None
    """US dollars as the service states them; None if it does not."""
    may_be_prose: bool = False
    """True if the service has no JSON mode: prose is then taken as the caption."""


class UnreadableResponse(Exception):
    """The service answered with something that is no completion; it may have been charged."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A model that a service lists, and the date on which it is shut down, if announced."""

    id: str
    shutdown_date: date | None = None


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """List what a backend can do, beyond answering a question about stills."""

    json_schema: bool
    """True if it can force a reply into a schema; otherwise the schema is put in words."""
    priced: bool
    """False if no request costs anything."""
    video: bool = False
    """True if a request may hold a video in place of stills."""
    default_base_url: str | None = None
    """The address that is used if the service names none, where it decides about the price."""


class BackendConnection(Protocol):
    """An open backend, which any number of threads may share."""

    def complete(self, request: ChatRequest) -> Completion:
        """Answer one request.

        Raise UnreadableResponse or NoResponse if it may have been charged, ServiceRefused if every
        request would fail, Failed if this one does.
        """

    def models(self) -> Sequence[ModelInfo]:
        """Return the models that can be named; empty if the service has no list."""


@runtime_checkable
class Backend(Protocol):
    """A way to get captions: a frozen dataclass whose compared fields may change an answer."""

    @property
    def capabilities(self) -> Capabilities: ...

    def check(self, service: Service) -> None:
        """Raise UsageError if `connect` cannot work: a missing key, a missing extra."""

    def connect(self, service: Service) -> AbstractContextManager[BackendConnection]:
        """Connect to the service, or load the model; once for each worker."""


@runtime_checkable
class BatchBackend(Protocol):
    """A backend that also answers whole files of requests, within a day at a lower price."""

    def connect_batch(
        self, captioner: CaptionStage, work: Path
    ) -> AbstractContextManager[BatchService]:
        """Connect to the batch service of a captioner; request files are written below `work`."""
