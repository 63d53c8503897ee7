"""Client of a Chat Completions service: one connection, one retry policy, brickfilm's errors."""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from brickfilm.captions.backend import (
    ChatRequest,
    Completion,
    ModelInfo,
    Service,
    UnreadableResponse,
    Usage,
)
from brickfilm.captions.backends.openai.dialect import Dialect
from brickfilm.captions.backends.openai.errors import (
    ContentFiltered,
    NoSuchModel,
    is_about_media,
    translate,
)
from brickfilm.captions.backends.openai.event_loop import EventLoopThread
from brickfilm.captions.backends.openai.retry import call_with_retry
from brickfilm.captions.backends.openai.wire import parse_completion, request_body
from brickfilm.captions.json_reply import is_prose
from brickfilm.errors import BrickfilmError, Failed, NoResponse, ServiceRefused
from brickfilm.files import parse_json

if TYPE_CHECKING:
    import openai

T = TypeVar("T")
log = logging.getLogger("brickfilm.captions")
NO_VIDEO = (
    "It may take no videos: send stills (video=False, --stills), or serve a model that reads "
    "videos with vLLM or SGLang"
)
MODELS_SECONDS = 10.0
"""Limit for the list of models, which a build can do without."""


@dataclass
class Client:
    """An open connection, safe for any number of threads.

    Errors that were certainly not charged are retried. Raises NoResponse for a request that may
    have been charged, ServiceRefused if every request would fail, else Failed.
    """

    service: Service
    api: openai.AsyncOpenAI
    loop: EventLoopThread
    dialect: Dialect = field(default_factory=Dialect)
    _answers_in_json: bool = False
    """True once a reply was JSON: prose is then a fault of one reply, not of the service."""
    _takes_video: bool = False
    """True once a request with a video was answered: a refusal is then about one video."""
    _is_told_unreachable: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def complete(self, request: ChatRequest) -> Completion:
        """Send one request and return its completion."""
        has_video = any(message.mp4 is not None for message in request.messages)
        try:
            dialect, response = self._send(request_body(request))
        except ContentFiltered:
            return filtered_completion(request.model)
        except Failed as error:
            if has_video and not self._takes_video and is_about_media(error):
                raise ServiceRefused(f"{error}. {NO_VIDEO}") from error
            raise
        self._takes_video |= has_video
        return self._judge(dialect, parse_completion(response, request.model))

    def models(self) -> Sequence[ModelInfo]:
        """Return the models that the service lists, with their dates of shutdown."""

        async def listed() -> list[ModelInfo]:
            models = self.api.models.list()
            return [ModelInfo(id=m.id, shutdown_date=_shutdown_date(m)) async for m in models]

        seconds = min(MODELS_SECONDS, self.service.total_timeout)
        return self._call(listed, retries=False, seconds=seconds)

    def call_once(self, request: Callable[[], Awaitable[T]]) -> T:
        """Send a request that must not arrive twice: it is never retried."""
        return self._call(request, retries=False)

    def call(self, request: Callable[[], Awaitable[T]]) -> T:
        """Send any other request, with retries."""
        return self._call(request, retries=True)

    def _send(self, body: Mapping[str, Any]) -> tuple[Dialect, object]:
        """Send a body in the newest dialect that the server accepts; return that and the JSON."""
        create = self.api.chat.completions.with_raw_response.create
        while True:
            dialect = self.dialect
            adapted = dialect.adapt(body)
            try:
                return dialect, _json(self.call(partial(create, **adapted)).text)
            except Failed as error:
                if error.reason != "bad request":
                    raise
                older = dialect.fallback(str(error), adapted.get("reasoning_effort", ""))
                if not self._switch(dialect, older):
                    raise
            except NoSuchModel as error:
                raise NoSuchModel(f"{error}{self._names_like(body['model'])}") from None

    def _switch(self, dialect: Dialect, other: Dialect | None) -> bool:
        """Replace a dialect; return True if the request can be sent in another one."""
        with self._lock:
            if other and self.dialect == dialect:
                log.warning("%s does not support %s", self._host, dialect.change_to(other))
                self.dialect = other
            return self.dialect != dialect

    def _judge(self, dialect: Dialect, completion: Completion) -> Completion:
        """Learn from the form of a reply; say if prose may be taken for the caption."""
        if completion.finish_reason != "stop" or completion.refusal or not completion.text:
            return completion
        if not is_prose(completion.text):
            self._answers_in_json = True
        elif not dialect.forces_json:
            return replace(completion, may_be_prose=True)
        elif self.service.json_mode == "auto" and not self._answers_in_json:
            ignored = dialect.schema_in_words  # neither a schema nor words gave JSON
            words = replace(dialect, schema_in_words=True)
            text = replace(words, response_formats=dialect.response_formats[-1:])
            self._switch(dialect, text if ignored else words)
            return replace(completion, may_be_prose=ignored)
        return completion

    def _names_like(self, model: str) -> str:
        """Return '; it has ...' with the names that a wrong one may have meant, or ''."""
        try:
            names = [listed.id for listed in self.models()]
        except BrickfilmError:
            return ""
        alike = difflib.get_close_matches(model, names, cutoff=0.3) or names[:3]
        return f"; it has {', '.join(alike)}" if alike else ""

    def _call(
        self, request: Callable[[], Awaitable[T]], *, retries: bool, seconds: float | None = None
    ) -> T:
        """Send a request within `seconds`, by default the service's total timeout."""
        import openai

        seconds = self.service.total_timeout if seconds is None else seconds
        try:
            return call_with_retry(
                lambda left: self.loop.run(request(), timeout=left),
                total_timeout=seconds,
                retries=retries,
                on_retry=self._tell_unreachable,
            )
        except openai.APIError as error:
            raise translate(error, self.service, self._host, self.api.api_key) from None
        except TimeoutError:
            raise NoResponse(f"{self._host} sent no whole response in {seconds:g} s") from None

    def _tell_unreachable(self, error: BaseException) -> None:
        """Log once that nobody answers, or a build would stand still without a word."""
        import openai

        if not isinstance(error, openai.APIConnectionError):
            return
        with self._lock:
            is_told, self._is_told_unreachable = self._is_told_unreachable, True
        if not is_told:
            reason = translate(error, self.service, self._host, self.api.api_key)
            log.warning("%s; trying for %g s", reason, self.service.total_timeout)

    @property
    def _host(self) -> str:
        return self.api.base_url.host


def filtered_completion(model: str) -> Completion:
    """Return the completion of a request that the content filter rejected; it costs nothing."""
    return Completion(
        text="", model=model, finish_reason="content_filter", usage=Usage(input=0, output=0)
    )


def _json(text: str) -> object:
    try:
        return parse_json(text)
    except ValueError as error:
        raise UnreadableResponse(f"the response is no JSON: {text[:80]!r}") from error


def _shutdown_date(model: object) -> date | None:
    try:
        return date.fromisoformat(str(getattr(model, "shutdown_date", "")))
    except ValueError:
        return None
