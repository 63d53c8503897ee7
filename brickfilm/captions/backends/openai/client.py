"""Connect to a Chat Completions service: one client, one retry policy, brickfilm's own errors."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from brickfilm.captions.backends.openai.dialect import Dialect
from brickfilm.captions.backends.openai.retry import call_with_retry, is_safe_to_retry
from brickfilm.errors import BrickfilmError, Failed, MissingApiKey, NoResponse, ServiceRefused

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletion

T = TypeVar("T")
log = logging.getLogger("brickfilm.captions")
CONTENT_FILTER_CODES = (
    "content_filter",
    "content_policy_violation",
    "responsible_ai_policy_violation",
)


class ContentFiltered(Exception):
    """The service's content filter rejected the request; nothing is charged."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """Address, key and timeouts of a service. They change no answer, so they enter no digest."""

    model: str
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    proxy: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    """Seconds for one request."""
    total_timeout: float = 180.0
    """Seconds for one request and its retries together."""
    concurrency: int = 8

    @contextmanager
    def connect(self) -> Iterator[Client]:
        """Open a client that any number of threads may share."""
        import openai  # takes half a second

        api_key = self.api_key()
        with openai.OpenAI(
            api_key=api_key,
            base_url=self.base_url,
            timeout=self.timeout,
            max_retries=0,  # `call_with_retry` retries, and it alone
            http_client=openai.DefaultHttpxClient(proxy=self.proxy, timeout=self.timeout),
        ) as api:
            yield Client(self, api, api_key)

    def api_key(self) -> str:
        """Read the API key from the environment; it is stored nowhere else.

        Raises MissingApiKey if the variable is empty and no `base_url` is set.
        """
        api_key = os.environ.get(self.api_key_env, "")
        if not api_key and self.base_url is None:
            raise MissingApiKey(
                f"no API key for model={self.model!r}: export {self.api_key_env}=..., or set "
                "base_url= to a server that needs none"
            )
        return api_key or "none"


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

    def complete(self, body: Mapping[str, Any]) -> ChatCompletion:
        """Send one request body and return its completion."""
        while True:
            dialect = self.dialect
            adapted = dialect.adapt(body)
            try:
                return self.call(partial(self.api.chat.completions.create, **adapted))
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
