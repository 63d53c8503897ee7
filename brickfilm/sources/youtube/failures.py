"""What yt-dlp reports, in words that say what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from brickfilm.errors import Failed, ItemError, Rejected, UsageError, Waiting
from brickfilm.sources.youtube.throttle import Shut, TooManyRequests


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One failure as yt-dlp tells it."""

    text: str
    kinds: frozenset[str] = frozenset()
    """Names of the exception's classes, and of those that caused it."""
    status: int | None = None
    """HTTP status, where one was the cause."""
    retry_after: float = 0.0
    """Seconds that the server asked us to stay away."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """A failure with a name and a remedy. `signs`: any of them, in small letters, tells it."""

    reason: str
    error: type[ItemError]
    remedy: str
    signs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()

    def fits(self, trouble: Trouble) -> bool:
        return (
            trouble.status in self.statuses
            or not trouble.kinds.isdisjoint(self.kinds)
            or self.is_in(trouble.text)
        )

    def is_in(self, text: str) -> bool:
        """Whether any of the signs is."""
        return any(sign in text.lower() for sign in self.signs)


NO_RUNTIME = Known(
    reason="no JavaScript runtime",
    error=Failed,
    signs=("challenge solving failed", "no supported javascript runtime"),
    remedy="YouTube's formats are hidden behind a JavaScript challenge: "
    "pip install 'brickfilm[youtube]' brings deno, or Access(js_runtime='node')",
)

KNOWN = (
    Known(
        reason="rate limit",
        error=TooManyRequests,
        signs=("rate-limited by youtube", "isn't available, try again later", "http error 429"),
        statuses=(429,),
        remedy="too many requests: raise between_films, or set daily_cap, and go on tomorrow",
    ),
    Known(
        reason="bot check",
        error=Shut,
        signs=("not a bot", "captcha"),
        remedy="the site takes us for a robot: give it cookies (Access(cookies_browser='firefox') "
        "or cookies_file=), wait some hours, and ask more slowly (Politeness(between_films=))",
    ),
    Known(
        reason="age gate",
        error=Failed,
        signs=("confirm your age", "age-restricted", "age restricted", "inappropriate for some"),
        remedy="only a signed-in adult may see it: give cookies of one (Access(cookies_browser=))",
    ),
    Known(
        reason="members only",
        error=Rejected,
        signs=(
            "members-only",
            "members only",
            "join this channel",
            "channel's members",
            "requires payment",
        ),
        remedy="only paying members may see it, so it is left out",
    ),
    Known(
        reason="private",
        error=Rejected,
        signs=("private video", "video is private", "playlist is private"),
        remedy="its owner shares it with chosen people, so it is left out",
    ),
    Known(
        reason="geo block",
        error=Failed,
        kinds=("GeoRestrictedError",),
        signs=(
            "available in your country",
            "blocked it in your country",
            "geo restrict",
            "from your location",
        ),
        remedy="it is not shown in this country: Access(proxy=) of a country where it is",
    ),
    Known(
        reason="live stream",
        error=Waiting,
        kinds=("UserNotLive",),
        signs=("live event will begin", "premieres in", "premiere will begin"),
        remedy="it can be fetched once it is over: run again later",
    ),
    Known(
        reason="media gone",
        error=Failed,
        signs=("video data: http error 404", "video data: http error 410"),
        remedy="its page is there but its bytes are not: addresses of media expire, the next run "
        "asks for a new one",
    ),
    Known(
        reason="removed",
        error=Rejected,
        signs=(
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
        statuses=(404, 410),
        remedy="it is gone, so it is left out",
    ),
    NO_RUNTIME,
    Known(
        reason="format gone",
        error=Failed,
        signs=("requested format is not available", "no video formats found"),
        remedy="no picture is offered: upgrade yt-dlp (pip install -U 'yt-dlp[default]'), and see "
        "whether a JavaScript runtime is installed",
    ),
    Known(
        reason="forbidden",
        error=Failed,
        signs=("http error 403",),
        statuses=(401, 403),
        remedy="the server refuses it (403): upgrade yt-dlp (pip install -U 'yt-dlp[default]'), "
        "or give cookies (Access(cookies_browser=)); the next run tries again",
    ),
    Known(
        reason="no film there",
        error=Failed,
        kinds=("UnsupportedError",),
        signs=("is not a valid url",),
        remedy="yt-dlp finds no film at this address: look at it in a browser",
    ),
    Known(
        reason="protected",
        error=Rejected,
        signs=("drm protected",),
        remedy="it is protected against copying, so it is left out",
    ),
)


def error_of(trouble: Trouble, title: str) -> ItemError:
    """The item's error for a failure; one that nobody knows yet is tried again next run."""
    told = plain(trouble.text)
    known = next((known for known in KNOWN if known.fits(trouble)), None)
    if known is None:
        return Failed(
            f"{title}: {told} (the next run tries again; if it stays, upgrade yt-dlp)",
            reason="not fetched",
        )
    error = known.error(f"{title}: {told}: {known.remedy}", reason=known.reason)
    if isinstance(error, TooManyRequests):
        error.after = trouble.retry_after
    return error


def unreadable_cookies(trouble: Trouble) -> UsageError:
    """Cookies concern every item, so they stop the build before it bothers anybody."""
    return UsageError(
        f"the cookies cannot be read ({plain(trouble.text)}): cookies_file must be in Netscape "
        "format, cookies_browser must name an installed browser"
    )


def plain(text: str) -> str:
    """A report without its prefix and without the advice for yt-dlp's own command line."""
    for end in ("; please report", ". Use --", "\nYou might want", " (caused by", ". See  "):
        text = text.partition(end)[0]
    return text.removeprefix("ERROR: ").strip().rstrip(".:;").replace("\n", " ")
