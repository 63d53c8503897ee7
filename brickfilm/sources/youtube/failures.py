"""Classify failures that yt-dlp reports, and name a remedy for each."""

from __future__ import annotations

from dataclasses import dataclass

from brickfilm.errors import Failed, ItemError, Rejected, UsageError, Waiting
from brickfilm.schema.public_text import public_text
from brickfilm.sources.youtube.throttle import BlockedBySite, TooManyRequests


@dataclass(frozen=True, kw_only=True)
class YtdlpFailure:
    """One failure as yt-dlp reports it."""

    text: str
    exception_names: frozenset[str] = frozenset()
    """Class names of the exception and of its causes."""
    http_status: int | None = None
    """Status of the HTTP response that caused it, if any."""
    retry_after: float = 0.0
    """Seconds that the server asked to wait; 0 if it named none."""


@dataclass(frozen=True, kw_only=True)
class FailureRule:
    """A known failure: how to recognise it, the error to raise, and a remedy.

    patterns: lower-case substrings of the message, any of which is enough.
    """

    reason: str
    error: type[ItemError]
    remedy: str
    patterns: tuple[str, ...] = ()
    exception_names: tuple[str, ...] = ()
    http_statuses: tuple[int, ...] = ()

    def matches(self, failure: YtdlpFailure) -> bool:
        return (
            failure.http_status in self.http_statuses
            or not failure.exception_names.isdisjoint(self.exception_names)
            or self.matches_text(failure.text)
        )

    def matches_text(self, text: str) -> bool:
        """Return True if the text contains one of the patterns."""
        return any(pattern in text.lower() for pattern in self.patterns)


NO_JS_RUNTIME = FailureRule(
    reason="no JavaScript runtime",
    error=Failed,
    patterns=("challenge solving failed", "no supported javascript runtime"),
    remedy="YouTube's formats are hidden behind a JavaScript challenge: "
    "pip install 'brickfilm[youtube]' brings deno, or set Connection(js_runtime='node')",
)

DOWNLOAD_YOURSELF = "download it with another program, and build from its folder"
FAILURE_RULES = (
    FailureRule(
        reason="rate limit",
        error=TooManyRequests,
        patterns=("rate-limited by youtube", "isn't available, try again later", "http error 429"),
        http_statuses=(429,),
        remedy="too many requests: raise RateLimits(between_videos=) or set daily_cap=, and run "
        "the same command tomorrow",
    ),
    FailureRule(
        reason="bot check",
        error=BlockedBySite,
        patterns=("not a bot", "captcha"),
        remedy="the site suspects a bot: give cookies (Connection(cookies_browser='firefox') or "
        "cookies_file=), wait some hours, and raise RateLimits(between_videos=)",
    ),
    FailureRule(
        reason="age gate",
        error=Failed,
        patterns=("confirm your age", "age-restricted", "age restricted", "inappropriate for some"),
        remedy="only signed-in adults may watch it: give cookies of one "
        "(Connection(cookies_browser=))",
    ),
    FailureRule(
        reason="members only",
        error=Rejected,
        patterns=(
            "members-only",
            "members only",
            "join this channel",
            "channel's members",
            "requires payment",
        ),
        remedy="only paying members may watch it, so it is left out",
    ),
    FailureRule(
        reason="private",
        error=Rejected,
        patterns=("private video", "video is private", "playlist is private"),
        remedy="its owner shares it with chosen people, so it is left out",
    ),
    FailureRule(
        reason="geo block",
        error=Failed,
        exception_names=("GeoRestrictedError",),
        patterns=(
            "available in your country",
            "blocked it in your country",
            "geo restrict",
            "from your location",
        ),
        remedy="it is blocked in this country: set Connection(proxy=) to one in another country",
    ),
    FailureRule(
        reason="live stream",
        error=Waiting,
        exception_names=("UserNotLive",),
        patterns=("live event will begin", "premieres in", "premiere will begin"),
        remedy="it can be downloaded once it has ended: run the same command later",
    ),
    FailureRule(
        reason="media gone",
        error=Failed,
        patterns=("video data: http error 404", "video data: http error 410"),
        remedy="the page exists but its media URL does not: such URLs expire, and the next run "
        "requests a new one",
    ),
    FailureRule(
        reason="removed",
        error=Rejected,
        patterns=(
            "video has been removed",
            "video unavailable",
            "video is not available",
            "video is no longer available",
            "isn't available anymore",
            "recording is not available",
            "account associated with this video has been terminated",
            "does not exist",
            "copyright claim",
        ),
        http_statuses=(404, 410),
        remedy="it does not exist any more, so it is left out",
    ),
    NO_JS_RUNTIME,
    FailureRule(
        reason="format gone",
        error=Failed,
        patterns=("requested format is not available", "no video formats found"),
        remedy="no video format is offered: upgrade yt-dlp (pip install -U 'yt-dlp[default]'), and "
        "check that a JavaScript runtime is installed",
    ),
    FailureRule(
        reason="forbidden",
        error=Failed,
        patterns=("http error 403",),
        http_statuses=(401, 403),
        remedy="the server refuses it (403): upgrade yt-dlp (pip install -U 'yt-dlp[default]'), "
        "or give cookies (Connection(cookies_browser=)); the next run tries again",
    ),
    FailureRule(
        reason="no video found",
        error=Failed,
        exception_names=("UnsupportedError",),
        patterns=("is not a valid url",),
        remedy="yt-dlp finds no video at this address: open it in a browser",
    ),
    FailureRule(
        reason="other protocol",
        error=Failed,
        patterns=("ffmpeg could not be found",),
        remedy=f"no other program is run, which could connect anywhere: {DOWNLOAD_YOURSELF}",
    ),
    FailureRule(
        reason="protected",
        error=Rejected,
        patterns=("drm protected",),
        remedy="it has copy protection (DRM), so it is left out",
    ),
)


def item_error_for(failure: YtdlpFailure, title: str) -> ItemError:
    """Return the item error for a failure; an unknown one is `Failed`, so the next run retries."""
    message = clean_message(failure.text)
    rule = next((rule for rule in FAILURE_RULES if rule.matches(failure)), None)
    if rule is None:
        return Failed(
            f"{title}: {message} (the next run tries again; if it fails again, upgrade yt-dlp)",
            reason="not fetched",
        )
    error = rule.error(f"{title}: {message}: {rule.remedy}", reason=rule.reason)
    if isinstance(error, TooManyRequests):
        error.retry_after = failure.retry_after
    return error


def cookies_error(failure: YtdlpFailure) -> UsageError:
    """Return the error for unreadable cookies, which stops the build before any request."""
    return UsageError(
        f"the cookies cannot be read ({clean_message(failure.text)}): cookies_file= must be in "
        "Netscape format, cookies_browser= must name an installed browser"
    )


def clean_message(text: str) -> str:
    """Remove yt-dlp's prefix, and its advice for its own command line."""
    for end in ("; please report", ". Use --", "\nYou might want", " (caused by", ". See  "):
        text = text.partition(end)[0]
    text = public_text(text)
    return text.removeprefix("ERROR: ").strip().rstrip(".:;").replace("\n", " ")
