"""What yt-dlp reports, in words that say what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from brickfilm.errors import Failed, ItemError, Rejected, UsageError, Waiting
from brickfilm.sources.youtube.throttle import BlockedBySite, TooManyRequests


@dataclass(frozen=True, kw_only=True)
class YtdlpFailure:
    """One failure as yt-dlp tells it."""

    text: str
    exception_names: frozenset[str] = frozenset()
    """Names of the exception's classes, and of those that caused it."""
    http_status: int | None = None
    """HTTP status, where one was the cause."""
    retry_after: float = 0.0
    """Seconds that the server asked us to stay away."""


@dataclass(frozen=True, kw_only=True)
class FailureRule:
    """A failure with a name and a remedy. `patterns`: any of them, in small letters, tells it."""

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
        """Whether any of the signs is."""
        return any(sign in text.lower() for sign in self.patterns)


NO_JS_RUNTIME = FailureRule(
    reason="no JavaScript runtime",
    error=Failed,
    patterns=("challenge solving failed", "no supported javascript runtime"),
    remedy="YouTube's formats are hidden behind a JavaScript challenge: "
    "pip install 'brickfilm[youtube]' brings deno, or Access(js_runtime='node')",
)

FAILURE_RULES = (
    FailureRule(
        reason="rate limit",
        error=TooManyRequests,
        patterns=("rate-limited by youtube", "isn't available, try again later", "http error 429"),
        http_statuses=(429,),
        remedy="too many requests: raise between_films, or set daily_cap, and go on tomorrow",
    ),
    FailureRule(
        reason="bot check",
        error=BlockedBySite,
        patterns=("not a bot", "captcha"),
        remedy="the site takes us for a robot: give it cookies (Access(cookies_browser='firefox') "
        "or cookies_file=), wait some hours, and ask more slowly (Politeness(between_films=))",
    ),
    FailureRule(
        reason="age gate",
        error=Failed,
        patterns=("confirm your age", "age-restricted", "age restricted", "inappropriate for some"),
        remedy="only a signed-in adult may see it: give cookies of one (Access(cookies_browser=))",
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
        remedy="only paying members may see it, so it is left out",
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
        remedy="it is not shown in this country: Access(proxy=) of a country where it is",
    ),
    FailureRule(
        reason="live stream",
        error=Waiting,
        exception_names=("UserNotLive",),
        patterns=("live event will begin", "premieres in", "premiere will begin"),
        remedy="it can be fetched once it is over: run again later",
    ),
    FailureRule(
        reason="media gone",
        error=Failed,
        patterns=("video data: http error 404", "video data: http error 410"),
        remedy="its page is there but its bytes are not: addresses of media expire, the next run "
        "asks for a new one",
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
        remedy="it is gone, so it is left out",
    ),
    NO_JS_RUNTIME,
    FailureRule(
        reason="format gone",
        error=Failed,
        patterns=("requested format is not available", "no video formats found"),
        remedy="no picture is offered: upgrade yt-dlp (pip install -U 'yt-dlp[default]'), and see "
        "whether a JavaScript runtime is installed",
    ),
    FailureRule(
        reason="forbidden",
        error=Failed,
        patterns=("http error 403",),
        http_statuses=(401, 403),
        remedy="the server refuses it (403): upgrade yt-dlp (pip install -U 'yt-dlp[default]'), "
        "or give cookies (Access(cookies_browser=)); the next run tries again",
    ),
    FailureRule(
        reason="no film there",
        error=Failed,
        exception_names=("UnsupportedError",),
        patterns=("is not a valid url",),
        remedy="yt-dlp finds no film at this address: look at it in a browser",
    ),
    FailureRule(
        reason="protected",
        error=Rejected,
        patterns=("drm protected",),
        remedy="it is protected against copying, so it is left out",
    ),
)


def item_error_for(failure: YtdlpFailure, title: str) -> ItemError:
    """The item's error for a failure; one that nobody knows yet is tried again next run."""
    told = clean_message(failure.text)
    rule = next((rule for rule in FAILURE_RULES if rule.matches(failure)), None)
    if rule is None:
        return Failed(
            f"{title}: {told} (the next run tries again; if it stays, upgrade yt-dlp)",
            reason="not fetched",
        )
    error = rule.error(f"{title}: {told}: {rule.remedy}", reason=rule.reason)
    if isinstance(error, TooManyRequests):
        error.retry_after = failure.retry_after
    return error


def cookies_error(failure: YtdlpFailure) -> UsageError:
    """Cookies concern every item, so they stop the build before it bothers anybody."""
    return UsageError(
        f"the cookies cannot be read ({clean_message(failure.text)}): cookies_file must be in Netscape "
        "format, cookies_browser must name an installed browser"
    )


def clean_message(text: str) -> str:
    """A report without its prefix and without the advice for yt-dlp's own command line."""
    for end in ("; please report", ". Use --", "\nYou might want", " (caused by", ". See  "):
        text = text.partition(end)[0]
    return text.removeprefix("ERROR: ").strip().rstrip(".:;").replace("\n", " ")
