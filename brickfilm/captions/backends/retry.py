"""The one retry policy: only what was certainly not charged, and only for so long."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import tenacity

T = TypeVar("T")
LONGEST_WAIT = 60.0
NOT_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout")
_backoff = tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT)
_jitter = tenacity.wait_random(0, 0.25)
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def patiently(request: Callable[[], T], *, patience: float) -> T:
    """Ask until an answer, an error that no waiting mends, or `patience` seconds are over."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_free),
        wait=wait,
        stop=tenacity.stop_before_delay(patience),
        reraise=True,
    )(request)


def is_free(error: BaseException) -> bool:
    """Whether a failed request was certainly not charged, and may succeed when asked again."""
    import openai

    match error:
        case openai.RateLimitError():
            return error.code != "insufficient_quota"
        case openai.InternalServerError():
            return True
        case openai.APIConnectionError():  # refused, or no route: nothing was sent
            return type(error.__cause__).__name__ in NOT_SENT
    return False


def wait(state: tenacity.RetryCallState) -> float:
    """Seconds before the next try: what the service asks for, else exponential; never in step."""
    import openai

    error = state.outcome.exception() if state.outcome else None
    asked = told(error.response.headers) if isinstance(error, openai.APIStatusError) else None
    return (_backoff(state) if asked is None else asked) + _jitter(state)


def told(headers: Mapping[str, str]) -> float | None:
    """Seconds that a service asks us to wait, by Retry-After or by its rate limits' resets."""
    if (exact := headers.get("retry-after-ms")) and exact.isdecimal():
        return int(exact) / 1000
    if asked := headers.get("retry-after"):
        return _retry_after(asked)
    resets = [
        duration(headers.get(f"x-ratelimit-reset-{kind}", ""))
        for kind in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{kind}") == "0"
    ]
    return max((seconds for seconds in resets if seconds is not None), default=None)


def duration(words: str) -> float | None:
    """Seconds of '6m0s', '1.5s', '20ms'; None for anything else."""
    parts = re.findall(r"([\d.]+)(ms|[smhd])", words)
    if not parts or "".join(n + unit for n, unit in parts) != words:
        return None
    return sum(float(n) * _UNITS[unit] for n, unit in parts)


def _retry_after(words: str) -> float | None:
    """Seconds, or an HTTP date."""
    try:
        return max(0.0, float(words))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(words).timestamp() - time.time())
    except ValueError:
        return None
