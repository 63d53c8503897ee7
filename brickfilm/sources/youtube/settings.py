"""How to knock at the door: none of this changes what is fetched, so none of it enters a digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from brickfilm.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Connection:
    """What is passed through to yt-dlp so that it gets in."""

    cookies_file: str | Path | None = None
    """In Netscape format, as browser extensions export it. It is read, and never written to."""
    cookies_browser: str = ""
    """A browser whose cookies are read: "firefox", or "chrome:Profile 1"."""
    js_runtime: str = "deno"
    """What solves YouTube's JavaScript challenges: "deno", "node", "bun", or "node:/path/to/it"."""
    extractor_args: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict, repr=False)
    """As yt-dlp's API takes them: {"youtube": {"player_client": ["mweb"]}}."""
    proxy: str = field(default="", repr=False)
    """It may hold a password, so it is never shown."""
    timeout: float = 30.0
    """Seconds without a byte before a connection counts as dead."""
    retries: int = 10
    """Tries of one connection within one attempt; each goes on at the byte it had reached."""


@dataclass(frozen=True, kw_only=True)
class RateLimits:
    """How fast films are asked for. The defaults are slow on purpose: a week is a long time."""

    between_films: tuple[float, float] = (10.0, 20.0)
    """Seconds from the start of one film to the start of the next, drawn evenly between the two."""
    between_requests: float = 0.75
    """Seconds between the requests that read one page."""
    concurrency: int = 2
    """Films at the same time."""
    bytes_per_second: float | None = None
    """Bytes a second, for each film under way."""
    daily_cap: int | None = None
    """Films in any 24 hours; the rest waits for another run."""
    pauses: tuple[float, ...] = (60.0, 120.0, 240.0, 480.0, 960.0, 1800.0)
    """Seconds to stay away after the first, second, ... 'too many requests' in a row.

    Together an hour, which is as long as YouTube says that its limit can last."""

    def __post_init__(self) -> None:
        low, high = self.between_films
        if not 0 <= low <= high:
            raise UsageError(
                f"between_films={self.between_films} must be (least, most) seconds, least first"
            )
        if self.concurrency < 1:
            raise UsageError(f"concurrency={self.concurrency}: at least one film must be fetched")
        if self.daily_cap is not None and self.daily_cap < 1:
            raise UsageError(f"daily_cap={self.daily_cap} must be 1 or more, or None for no cap")
