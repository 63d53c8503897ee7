"""Client of a Chat Completions service: one connection, one retry policy, brickfilm's errors."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from brickfilm.captions.backend import (
    ChatRequest,
    Completion,
    ModelInfo,
    Service,
    UnreadableResponse,
    Usage,
)
from brickfilm.captions.backends.openai.dialect import Dialect
from brickfilm.captions.backends.openai.retry import call_with_retry, is_safe_to_retry
from brickfilm.captions.backends.openai.wire import parse_completion, request_body
from brickfilm.errors import BrickfilmError, Failed, NoResponse, ServiceRefused

if TYPE_CHECKING:
    import openai

T = TypeVar("T")
log = logging.getLogger("brickfilm.captions")
CONTENT_FILTER_CODES = (
    "content_filter",
    "content_policy_violation",
    "responsible_ai_policy_violation",
)


class ContentFiltered(Exception):
    """The service's content filter rejected the request; nothing is charged."""


@dataclass
class Client:
    """An open connection, safe for any number of threads.

    Errors that were certainly not charged are retried. Raises NoResponse for a request that may
    have been charged, ServiceRefused if every request would fail, else Failed or ContentFiltered.
    """

    service: Service
    api: openai.OpenAI
    api_key: str = field(repr=False)
    dialect: Dialect = field(default_factory=Dialect)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def complete(self, request: ChatRequest) -> Completion:
        """Send one request and return its completion."""
        try:
            return parse_completion(self._send(request_body(request)), request.model)
        except ContentFiltered:
            return filtered_completion(request.model)

    def models(self) -> Sequence[ModelInfo]:
        """Return the models that the service lists, with their dates of shutdown."""
        listed = self.call(lambda: list(self.api.models.list()))
        return [ModelInfo(id=m.id, shutdown_date=_shutdown_date(m)) for m in listed]

    def _send(self, body: Mapping[str, Any]) -> object:
        """Send a request body, in an older dialect if need be, and return the response's JSON."""
        create = self.api.chat.completions.with_raw_response.create
        while True:
            dialect = self.dialect
            adapted = dialect.adapt(body)
            try:
                return _json(self.call(partial(create, **adapted)).text)
            except Failed as error:
                if error.reason != "bad request" or not self._switch_dialect(dialect, str(error)):
                    raise

    def _switch_dialect(self, dialect: Dialect, error_message: str) -> bool:
        """Fall back to an older dialect; return True if the request can be sent in another one."""
        with self._lock:
            if self.dialect == dialect and (fallback := dialect.fallback(error_message)):
                log.warning("%s does not support %s; using %s", self._host, dialect, fallback)
                self.dialect = fallback
            return self.dialect != dialect

    def call_once(self, request: Callable[[], T]) -> T:
        """Send a request that must not arrive twice: it is never retried."""
        return self._call(request, total_timeout=0.0)

    def call(self, request: Callable[[], T]) -> T:
        """Send any other request, with retries."""
        return self._call(request, total_timeout=self.service.total_timeout)

    def _call(self, request: Callable[[], T], *, total_timeout: float) -> T:
        import openai

        try:
            return call_with_retry(request, total_timeout=total_timeout)
        except openai.APIError as error:
            self._raise_translated(error)

    def _raise_translated(self, error: openai.APIError) -> NoReturn:
        """Raise the brickfilm error for an error of the client, with the API key redacted."""
        import openai

        message = self._redact(str(error))
        match error:
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                raise ServiceRefused(
                    f"{self._host} rejects the API key in {self.service.api_key_env}: {message}"
                ) from None
            case openai.NotFoundError():
                raise self._no_such_model(message) from None
            case openai.RateLimitError() if error.code == "insufficient_quota":
                raise ServiceRefused(
                    f"{self._host}: the account's quota is used up ({message}): add credit"
                ) from None
            case openai.APIStatusError() if error.code in CONTENT_FILTER_CODES:
                raise ContentFiltered(message) from None
            case openai.RateLimitError() | openai.InternalServerError():
                raise Failed(f"{self._host} stayed busy: {message}", reason="busy") from None
            case openai.APIStatusError():
                raise self._bad_request(error, message) from None
            case openai.APIConnectionError() if is_safe_to_retry(error):
                raise Failed(f"{self._host} cannot be reached: {message}", reason="busy") from None
            case openai.APIConnectionError():
                raise NoResponse(f"{self._host} sent no response: {message}") from None
        raise NoResponse(f"{self._host} sent an unreadable response: {message}") from None

    def _bad_request(self, error: openai.APIStatusError, message: str) -> BrickfilmError:
        if error.code in ("model_not_found", "model_decommissioned", "model_deprecated"):
            return self._no_such_model(message)
        return Failed(f"{self._host} rejects the request: {message}", reason="bad request")

    def _no_such_model(self, message: str) -> ServiceRefused:
        return ServiceRefused(
            f"{self._host} has no model={self.service.model!r}, or has retired it: {message}"
        )

    @property
    def _host(self) -> str:
        return self.api.base_url.host

    def _redact(self, message: str) -> str:
        """Remove the API key, which a server may echo."""
        return message.replace(self.api_key, "[key]") if len(self.api_key) > 8 else message


def filtered_completion(model: str) -> Completion:
    """Return the completion of a request that the content filter rejected; it costs nothing."""
    return Completion(
        text="", model=model, finish_reason="content_filter", usage=Usage(input=0, output=0)
    )


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnreadableResponse(f"the response is no JSON: {text[:80]!r}") from error


def _shutdown_date(model: object) -> date | None:
    try:
        return date.fromisoformat(str(getattr(model, "shutdown_date", "")))
    except ValueError:
        return None
