"""Forecast a download: hours of footage, bytes, and wall time at the rate limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brickfilm.records import Listing
from brickfilm.sources.youtube.settings import RateLimits

ASSUMED_BYTES_PER_SECOND = 250_000
"""Assumed for a video at 720 lines without sound (2 Mbit/s), if a list names no size."""
ASSUMED_HEIGHT = 720
ASSUMED_CONNECTION_SPEED = 5_000_000
"""Assumed bytes per second of the connection, if no rate limit is set."""
ASSUMED_DURATION_SECONDS = 300.0
"""Assumed for a video whose list names no duration."""
DAY_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class DownloadForecast:
    """Totals of the videos to download."""

    videos: int
    seconds: float
    """Duration of the footage."""
    bytes: float
    wall_seconds: float
    unknown_durations: int
    """Videos for which `ASSUMED_DURATION_SECONDS` is taken."""

    def __str__(self) -> str:
        unknown = self.unknown_durations
        return (
            f"{self.videos} videos to download: about {self.seconds / 3600:.1f} h of footage, "
            f"{_format_bytes(self.bytes)}, {_format_duration(self.wall_seconds)} at the rate limits"
            + (f"; {unknown} of unknown duration, taken as 5 min" if unknown else "")
        )


def forecast_download(
    videos: Sequence[Listing], rate_limits: RateLimits, max_height: int
) -> DownloadForecast:
    """Add up listed durations and sizes; a missing size is assumed from `max_height`."""
    seconds = [video.seconds or ASSUMED_DURATION_SECONDS for video in videos]
    bitrate = ASSUMED_BYTES_PER_SECOND * (max_height / ASSUMED_HEIGHT) ** 2
    size = sum(v.bytes or length * bitrate for v, length in zip(videos, seconds, strict=True))
    return DownloadForecast(
        videos=len(videos),
        seconds=sum(seconds),
        bytes=size,
        wall_seconds=_wall_seconds(len(videos), size, rate_limits),
        unknown_durations=sum(not video.seconds for video in videos),
    )


def _wall_seconds(videos: int, size: float, rate_limits: RateLimits) -> float:
    """Return the longest of: pauses between videos, transfer time, days of the daily cap."""
    gaps = videos * sum(rate_limits.between_videos) / 2
    speed = min(
        ASSUMED_CONNECTION_SPEED,
        (rate_limits.bytes_per_second or ASSUMED_CONNECTION_SPEED) * rate_limits.concurrency,
    )
    days = (videos - 1) // rate_limits.daily_cap if rate_limits.daily_cap and videos else 0
    return max(gaps, size / speed, days * DAY_SECONDS)


def _format_bytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _format_duration(seconds: float) -> str:
    if seconds >= DAY_SECONDS:
        return f"{seconds / DAY_SECONDS:.1f} days"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
