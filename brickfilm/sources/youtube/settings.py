"""Connection and rate-limit settings. They do not affect what is downloaded: no digest has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from brickfilm.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Cookies, proxy, JavaScript runtime and timeouts, passed on to yt-dlp."""

    cookies_file: str | Path | None = None
    """In Netscape format, as browser extensions export it. It is never written to."""
    cookies_browser: str = ""
    """Browser whose cookies are read: "firefox", or "chrome:Profile 1"."""
    js_runtime: str = "deno"
    """Runtime for YouTube's JavaScript challenges: "deno", "node", "bun" or "node:/path/to/it"."""
    extractor_args: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict, repr=False)
    """In the form of yt-dlp's API: {"youtube": {"player_client": ["mweb"]}}."""
    proxy: str = field(default="", repr=False)
    """URL of a proxy; never shown, as it may hold a password."""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """ "user:password" by host; YouTubeSource takes them from its addresses."""
    timeout: float = 30.0
    """Seconds without data until a connection is closed."""
    retries: int = 10
    """Reconnections within one attempt; each resumes at the last byte received."""


@dataclass(frozen=True, kw_only=True)
class RateLimits:
    """Limits on requests and downloads; the defaults are slow, to avoid being blocked."""

    between_videos: tuple[float, float] = (10.0, 20.0)
    """Seconds between the starts of two downloads, drawn uniformly from this range."""
    between_requests: float = 0.75
    """Seconds between the requests that read one page."""
    concurrency: int = 2
    """Parallel downloads."""
    bytes_per_second: float | None = None
    """Bandwidth limit of each download."""
    daily_cap: int | None = None
    """Maximum of downloads in any 24 hours; the rest waits for another run."""
    pauses: tuple[float, ...] = (60.0, 120.0, 240.0, 480.0, 960.0, 1800.0)
    """Seconds to wait after the first, second, ... HTTP 429 in a row.

    An hour in total, the longest that YouTube says its rate limit can last."""

    def __post_init__(self) -> None:
        low, high = self.between_videos
        if not 0 <= low <= high:
            raise UsageError(
                f"between_videos={self.between_videos} must be (min, max) seconds, 0 <= min <= max"
            )
        if self.concurrency < 1:
            raise UsageError(f"concurrency={self.concurrency} must be 1 or more")
        if self.daily_cap is not None and self.daily_cap < 1:
            raise UsageError(f"daily_cap={self.daily_cap} must be 1 or more, or None for no cap")
