"""Retry only requests that were certainly not charged, for a bounded time."""

from __future__ import annotations

import email.utils
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import tenacity

if TYPE_CHECKING:
    import openai

T = TypeVar("T")
MAX_BACKOFF_SECONDS = 60.0
NO_CREDIT_CODES = (
    "insufficient_quota",
    "insufficient_credits",
    "insufficient_balance",
    "billing_hard_limit_reached",
    "billing_not_active",
)
PAYMENT_REQUIRED = 402
NOT_SENT_ERRORS = ("ConnectError", "ConnectTimeout", "PoolTimeout")
_backoff = tenacity.wait_random_exponential(multiplier=0.5, max=MAX_BACKOFF_SECONDS)
_jitter = tenacity.wait_random(0, 0.25)
_UNIT_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def call_with_retry(
    request: Callable[[float], T],
    *,
    total_timeout: float,
    retries: bool = True,
    on_retry: Callable[[BaseException], None] = lambda error: None,
) -> T:
    """Call until success, an error that is not safe to retry, or `total_timeout` seconds.

    request: called with the seconds that are left. on_retry: called before each wait.
    """
    end = time.monotonic() + total_timeout
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_safe_to_retry) if retries else tenacity.retry_never,
        wait=retry_delay,
        stop=tenacity.stop_before_delay(total_timeout),
        before_sleep=lambda state: on_retry(state.outcome.exception()),  # type: ignore[union-attr,arg-type]
        reraise=True,
    )(lambda: request(max(0.0, end - time.monotonic())))


def is_safe_to_retry(error: BaseException) -> bool:
    """Return True if a failed request was certainly not charged and a retry may succeed."""
    import openai

    match error:
        case openai.RateLimitError():
            return not is_out_of_credit(error)
        case openai.InternalServerError():
            return True
        case openai.APIConnectionError():  # refused, or no route: nothing was sent
            return type(error.__cause__).__name__ in NOT_SENT_ERRORS and not is_tls_error(error)
    return False


def is_tls_error(error: BaseException) -> bool:
    """Return True if a connection failed for its encryption, which no retry mends."""
    chain = list(causes(error))
    return any(isinstance(e, ssl.SSLError) or "CERTIFICATE" in str(e) for e in chain)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that led to this one, the nearest first."""
    cause = error.__cause__ or error.__context__
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def is_out_of_credit(error: openai.APIStatusError) -> bool:
    """Return True if the account cannot pay for any further request."""
    codes = (error.code, error.type)
    return error.status_code == PAYMENT_REQUIRED or any(code in NO_CREDIT_CODES for code in codes)


def retry_delay(state: tenacity.RetryCallState) -> float:
    """Return seconds until the next attempt: the server's, else exponential; both with jitter."""
    import openai

    error = state.outcome.exception() if state.outcome else None
    delay = (
        retry_after_seconds(error.response.headers)
        if isinstance(error, openai.APIStatusError)
        else None
    )
    return (_backoff(state) if delay is None else delay) + _jitter(state)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the wait that Retry-After or the x-ratelimit-reset headers name, in seconds."""
    if (milliseconds := headers.get("retry-after-ms")) and milliseconds.isdecimal():
        return int(milliseconds) / 1000
    if retry_after := headers.get("retry-after"):
        return _parse_retry_after(retry_after)
    resets = [
        parse_duration(headers.get(f"x-ratelimit-reset-{kind}", ""))
        for kind in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{kind}") == "0"
    ]
    return max((seconds for seconds in resets if seconds is not None), default=None)


def parse_duration(text: str) -> float | None:
    """Return the seconds of '6m0s', '1.5s' or '20ms'; None for anything else."""
    parts = re.findall(r"([\d.]+)(ms|[smhd])", text)
    if not parts or "".join(n + unit for n, unit in parts) != text:
        return None
    return sum(float(n) * _UNIT_SECONDS[unit] for n, unit in parts)


def _parse_retry_after(value: str) -> float | None:
    """Return the seconds of a Retry-After value: a number, or an HTTP date."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
