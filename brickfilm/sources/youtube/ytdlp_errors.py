"""Translate yt-dlp's log messages and exceptions into ours."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from brickfilm.schema.public_text import public_text
from brickfilm.sources.youtube.failures import (
    NO_JS_RUNTIME,
    YtdlpFailure,
    clean_message,
    item_error_for,
)

log = logging.getLogger(__name__)


class YtdlpLogger:
    """Log yt-dlp's messages at debug level, and those that need action as warnings, once each."""

    def __init__(self, shown: set[str] | None = None) -> None:
        self.warnings: list[str] = []
        self._shown = set() if shown is None else shown

    def debug(self, text: str) -> None:
        log.debug("%s", public_text(text))

    def info(self, text: str) -> None:
        log.debug("%s", public_text(text))

    def warning(self, text: str) -> None:
        self.warnings.append(text)
        if not NO_JS_RUNTIME.matches_text(text):
            log.debug("%s", public_text(text))
        elif text not in self._shown:
            self._shown.add(text)
            log.warning("%s: %s", clean_message(text), NO_JS_RUNTIME.remedy)

    def error(self, text: str) -> None:
        log.debug("%s", public_text(text))


@contextmanager
def translate_errors(ydl: Any, title: str) -> Iterator[None]:
    """Raise the ItemError for an error that yt-dlp raises in the block."""
    from yt_dlp.utils import YoutubeDLError

    try:
        yield
    except YoutubeDLError as error:
        raise item_error_for(
            failure_from_exception(error, ydl.params["logger"].warnings), title
        ) from error


def failure_from_exception(error: BaseException, warnings: list[str]) -> YtdlpFailure:
    """Collect message, class names and HTTP status of an exception and its causes.

    Raises the OSError of a full disk as it is.
    """
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise cause
    hints = [text for text in warnings if NO_JS_RUNTIME.matches_text(text)]
    response_error = next((cause for cause in chain if hasattr(cause, "status")), None)
    return YtdlpFailure(
        text=": ".join([str(error), *hints]),
        exception_names=frozenset(cls.__name__ for cause in chain for cls in type(cause).__mro__),
        http_status=getattr(response_error, "status", None),
        retry_after=_retry_after(response_error),
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        exc_info = getattr(error, "exc_info", None)
        inner = exc_info[1] if exc_info and exc_info[1] is not error else None
        error = inner or getattr(error, "cause", None) or error.__cause__ or error.__context__


def _retry_after(error: BaseException | None) -> float:
    headers = getattr(getattr(error, "response", None), "headers", {})
    seconds = headers.get("Retry-After") or ""
    return float(seconds) if seconds.isdigit() else 0.0
