"""The door to a Chat Completions service: one client, one retry policy, errors in our words."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from brickfilm.captions.backends.retry import call_with_retry, is_safe_to_retry
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
    """The service will not look at this: an answer of its kind, and it costs nothing."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """Where to ask, and with how much patience. Nothing here changes an answer."""

    model: str
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    proxy: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    """Seconds for one request."""
    total_timeout: float = 180.0
    """Seconds in all, retries included."""
    concurrency: int = 8

    @contextmanager
    def connect(self) -> Iterator[Client]:
        """An open client that any number of threads may use."""
        import openai  # half a second to import, and only those who ask need it

        api_key = self.api_key()
        limits = openai.DefaultHttpxClient(proxy=self.proxy, timeout=self.timeout)
        with openai.OpenAI(
            api_key=api_key,
            base_url=self.base_url,
            timeout=self.timeout,
            max_retries=0,  # `call_with_retry` retries, and it alone
            http_client=limits,
        ) as api:
            yield Client(self, api, api_key)

    def api_key(self) -> str:
        """The key, read where it is used and kept nowhere else."""
        api_key = os.environ.get(self.api_key_env, "")
        if not api_key and self.base_url is None:
            raise MissingApiKey(
                f"no key for {self.model}: put it into the variable {self.api_key_env}, or name a "
                "server of your own with base_url"
            )
        return api_key or "none"


@dataclass(frozen=True)
class Dialect:
    """What a server understands, as far as its complaints have taught us."""

    response_formats: tuple[str, ...] = ("json_schema", "json_object", "text")
    max_tokens_field: str = "max_completion_tokens"

    def adapt(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request in this dialect."""
        said = dict(body)
        said[self.max_tokens_field] = said.pop("max_completion_tokens")
        if self.response_formats[0] != "json_schema":
            shape = said.pop("response_format")["json_schema"]["schema"]
            said["messages"] = [*said["messages"], _schema_instruction(shape)]
        if self.response_formats[0] == "json_object":
            said["response_format"] = {"type": "json_object"}
        return said

    def fallback(self, error_message: str) -> Dialect | None:
        """How to say a refused request in another way; None if it was not the way."""
        shapes = ("response_format", "json_schema", "json_object")
        if len(self.response_formats) > 1 and any(name in error_message for name in shapes):
            return replace(self, response_formats=self.response_formats[1:])
        if (
            self.max_tokens_field == "max_completion_tokens"
            and self.max_tokens_field in error_message
        ):
            return replace(self, max_tokens_field="max_tokens")
        return None


@dataclass
class Client:
    """An open connection, for any number of threads. Its errors are ours: what was certainly free
    is retried, what was perhaps charged is `NoResponse`, what nobody will answer is `ServiceRefused`."""

    service: Service
    api: openai.OpenAI
    api_key: str = field(repr=False)
    dialect: Dialect = field(default_factory=Dialect)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def complete(self, body: Mapping[str, Any]) -> ChatCompletion:
        """One answer to one request body."""
        while True:
            dialect = self.dialect
            said = dialect.adapt(body)
            try:
                return self.call(partial(self.api.chat.completions.create, **said))
            except Failed as error:
                if error.reason != "bad request" or not self._switch_dialect(dialect, str(error)):
                    raise

    def _switch_dialect(self, dialect: Dialect, error_message: str) -> bool:
        """Whether a complaint taught us, or another thread meanwhile, to ask in another way."""
        with self._lock:
            if self.dialect == dialect and (other := dialect.fallback(error_message)):
                log.warning("%s cannot do %s; asking with %s", self._host, dialect, other)
                self.dialect = other
            return self.dialect != dialect

    def call_once(self, request: Callable[[], T]) -> T:
        """A request that must not arrive twice: never retried."""
        return self._call(request, total_timeout=0.0)

    def call(self, request: Callable[[], T]) -> T:
        """Any request, patiently."""
        return self._call(request, total_timeout=self.service.total_timeout)

    def _call(self, request: Callable[[], T], *, total_timeout: float) -> T:
        """Errors come out in our words, without the key."""
        import openai

        try:
            return call_with_retry(request, total_timeout=total_timeout)
        except openai.APIError as error:
            self._translate(error)

    def _translate(self, error: openai.APIError) -> NoReturn:
        import openai

        words = self._redact(str(error))
        match error:
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                raise ServiceRefused(
                    f"{self._host} refuses the key in {self.service.api_key_env}: {words}"
                ) from None
            case openai.NotFoundError():
                raise ServiceRefused(
                    f"{self._host} has no model={self.service.model!r}, or has retired it: {words}"
                ) from None
            case openai.RateLimitError() if error.code == "insufficient_quota":
                raise ServiceRefused(f"{self._host}: the account is empty ({words})") from None
            case openai.APIStatusError() if error.code in CONTENT_FILTER_CODES:
                raise ContentFiltered(words) from None
            case openai.RateLimitError() | openai.InternalServerError():
                raise Failed(f"{self._host} stayed busy: {words}", reason="busy") from None
            case openai.APIStatusError():
                raise self._bad_request(error, words) from None
            case openai.APIConnectionError() if is_safe_to_retry(error):
                raise Failed(f"{self._host} cannot be reached: {words}", reason="busy") from None
            case openai.APIConnectionError():
                raise NoResponse(f"{self._host} gave no answer: {words}") from None
        raise NoResponse(f"{self._host} gave an answer that cannot be read: {words}") from None

    def _bad_request(self, error: openai.APIStatusError, words: str) -> BrickfilmError:
        if error.code in ("model_not_found", "model_decommissioned", "model_deprecated"):
            return ServiceRefused(
                f"{self._host} has no model={self.service.model!r}, or has retired it: {words}"
            )
        return Failed(f"{self._host} cannot use the request: {words}", reason="bad request")

    @property
    def _host(self) -> str:
        return self.api.base_url.host

    def _redact(self, words: str) -> str:
        """A server may echo the key it was given."""
        return words.replace(self.api_key, "[key]") if len(self.api_key) > 8 else words


def _schema_instruction(shape: Mapping[str, Any]) -> dict[str, str]:
    statuses = ", ".join(f'"{s}"' for s in shape["properties"]["status"]["enum"])
    words = f'Answer with JSON alone: {{"status": one of {statuses}, "caption": "..."}}'
    return {"role": "system", "content": words}
