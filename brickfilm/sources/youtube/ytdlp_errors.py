"""yt-dlp's log and its errors, heard and passed on."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from brickfilm.sources.youtube.failures import (
    NO_JS_RUNTIME,
    YtdlpFailure,
    clean_message,
    item_error_for,
)

log = logging.getLogger(__name__)


class YtdlpLogger:
    """yt-dlp's log in ours: chatter is for debugging, what a person must act on is a warning."""

    def __init__(self, told: set[str] | None = None) -> None:
        self.warnings: list[str] = []
        self._told = set() if told is None else told

    def debug(self, text: str) -> None:
        log.debug("%s", text)

    def info(self, text: str) -> None:
        log.debug("%s", text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)
        if not NO_JS_RUNTIME.matches_text(text):
            log.debug("%s", text)
        elif text not in self._told:
            self._told.add(text)
            log.warning("%s: %s", clean_message(text), NO_JS_RUNTIME.remedy)

    def error(self, text: str) -> None:
        log.debug("%s", text)


@contextmanager
def translate_errors(ydl: Any, title: str) -> Iterator[None]:
    """yt-dlp's errors as ours."""
    from yt_dlp.utils import YoutubeDLError

    try:
        yield
    except YoutubeDLError as error:
        raise item_error_for(
            failure_from_exception(error, ydl.params["logger"].warnings), title
        ) from error


def failure_from_exception(error: BaseException, warnings: list[str]) -> YtdlpFailure:
    """What a failure says, all its causes considered; a full disk is raised as itself."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise cause
    helpful = [text for text in warnings if NO_JS_RUNTIME.matches_text(text)]
    refused = next((cause for cause in chain if hasattr(cause, "status")), None)
    return YtdlpFailure(
        text=": ".join([str(error), *helpful]),
        exception_names=frozenset(kind.__name__ for cause in chain for kind in type(cause).__mro__),
        http_status=getattr(refused, "status", None),
        retry_after=_retry_after(refused),
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        told = getattr(error, "exc_info", None)
        inner = told[1] if told and told[1] is not error else None
        error = inner or getattr(error, "cause", None) or error.__cause__ or error.__context__


def _retry_after(refused: BaseException | None) -> float:
    headers = getattr(getattr(refused, "response", None), "headers", {})
    told = headers.get("Retry-After") or ""
    return float(told) if told.isdigit() else 0.0
