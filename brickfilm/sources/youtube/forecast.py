"""What a list of films will take: hours of footage, bytes, and time at the polite rate. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brickfilm.records import Listing
from brickfilm.sources.youtube.settings import RateLimits

ASSUMED_BYTES_PER_SECOND = 250_000
"""Assumed of a film at 720 lines without sound (2 Mbit/s), where a list names no size."""
ASSUMED_HEIGHT = 720
ASSUMED_CONNECTION_SPEED = 5_000_000
"""Assumed bytes a second of a connection, where no rate limit is set."""
ASSUMED_DURATION_SECONDS = 300.0
"""Assumed length of a film whose list does not tell it."""
DAY_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class DownloadForecast:
    """Totals of the films that would be fetched."""

    films: int
    seconds: float
    """Of footage."""
    bytes: float
    wall_seconds: float
    guessed: int
    """Films whose length no list tells: 5 minutes are assumed."""

    def __str__(self) -> str:
        guess = f"; {self.guessed} of unknown length, taken as 5 min" if self.guessed else ""
        return (
            f"{self.films} films to fetch: about {self.seconds / 3600:.1f} h of footage, "
            f"{_format_bytes(self.bytes)}, {_format_duration(self.wall_seconds)} at the polite rate{guess}"
        )


def forecast_download(
    films: Sequence[Listing], rate_limits: RateLimits, max_height: int
) -> DownloadForecast:
    """Add up a list. Sizes are those the list tells, else an assumed bitrate at `max_height`."""
    seconds = [film.seconds or ASSUMED_DURATION_SECONDS for film in films]
    rate = ASSUMED_BYTES_PER_SECOND * (max_height / ASSUMED_HEIGHT) ** 2
    size = sum(film.bytes or length * rate for film, length in zip(films, seconds, strict=True))
    return DownloadForecast(
        films=len(films),
        seconds=sum(seconds),
        bytes=size,
        wall_seconds=_wall_seconds(len(films), size, rate_limits),
        guessed=sum(not film.seconds for film in films),
    )


def _wall_seconds(films: int, size: float, rate_limits: RateLimits) -> float:
    """Films start no closer than the polite gap, and no faster than their bytes come."""
    gaps = films * sum(rate_limits.between_films) / 2
    speed = min(
        ASSUMED_CONNECTION_SPEED,
        (rate_limits.bytes_per_second or ASSUMED_CONNECTION_SPEED) * rate_limits.concurrency,
    )
    days = (films - 1) // rate_limits.daily_cap if rate_limits.daily_cap and films else 0
    return max(gaps, size / speed, days * DAY_SECONDS)


def _format_bytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _format_duration(seconds: float) -> str:
    if seconds >= DAY_SECONDS:
        return f"{seconds / DAY_SECONDS:.1f} days"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
