"""What a list of films will take: hours of footage, bytes, and time at the polite rate. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brickfilm.records import Listing
from brickfilm.sources.youtube.settings import Politeness

BYTES_A_SECOND = 250_000
"""Assumed of a film at 720 lines without sound (2 Mbit/s), where a list names no size."""
LINES = 720
SPEED = 5_000_000
"""Assumed bytes a second of a connection, where no rate limit is set."""
USUAL_SECONDS = 300.0
"""Assumed length of a film whose list does not tell it."""
DAY_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class Forecast:
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
            f"{_bytes(self.bytes)}, {_time(self.wall_seconds)} at the polite rate{guess}"
        )


def forecast(films: Sequence[Listing], politeness: Politeness, max_height: int) -> Forecast:
    """Add up a list. Sizes are those the list tells, else an assumed bitrate at `max_height`."""
    seconds = [film.seconds or USUAL_SECONDS for film in films]
    rate = BYTES_A_SECOND * (max_height / LINES) ** 2
    size = sum(film.bytes or length * rate for film, length in zip(films, seconds, strict=True))
    return Forecast(
        films=len(films),
        seconds=sum(seconds),
        bytes=size,
        wall_seconds=_wall(len(films), size, politeness),
        guessed=sum(not film.seconds for film in films),
    )


def _wall(films: int, size: float, politeness: Politeness) -> float:
    """Films start no closer than the polite gap, and no faster than their bytes come."""
    gaps = films * sum(politeness.between_films) / 2
    speed = min(SPEED, (politeness.rate_limit or SPEED) * politeness.concurrency)
    days = (films - 1) // politeness.daily_cap if politeness.daily_cap and films else 0
    return max(gaps, size / speed, days * DAY_SECONDS)


def _bytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _time(seconds: float) -> str:
    if seconds >= DAY_SECONDS:
        return f"{seconds / DAY_SECONDS:.1f} days"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
