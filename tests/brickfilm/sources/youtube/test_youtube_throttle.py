"""Throttle, RateLimits and the forecast of a download, on a fake clock."""

from __future__ import annotations

import pytest

from brickfilm.errors import UsageError, Waiting
from brickfilm.records import Listing
from brickfilm.sources import RateLimits, YouTubeSource
from brickfilm.sources.youtube.forecast import forecast_download
from brickfilm.sources.youtube.throttle import BlockedBySite, Throttle, TooManyRequests
from tests.kit.clock import FakeClock


def throttled(clock: FakeClock, fetched: int = 0, **limits: object) -> Throttle:
    return Throttle(RateLimits(**limits), fetched, clock=clock, sleep=clock.sleep)


def test_downloads_start_no_closer_than_asked() -> None:
    clock = FakeClock()
    throttle = throttled(clock, between_videos=(10, 20))
    for _ in range(5):
        throttle.acquire()
    assert len(clock.sleeps) == 4  # the first one starts at once
    assert all(10 <= seconds <= 20 for seconds in clock.sleeps)
    assert len(set(clock.sleeps)) == 4


def test_time_spent_fetching_counts_towards_the_gap() -> None:
    clock = FakeClock()
    throttle = throttled(clock, between_videos=(10, 10))
    throttle.acquire()
    clock.now += 7
    throttle.acquire()
    assert clock.sleeps == [3]


def test_a_daily_cap_counts_what_earlier_runs_fetched() -> None:
    throttle = throttled(FakeClock(), fetched=3, between_videos=(0, 0), daily_cap=5)
    throttle.acquire()
    throttle.acquire()
    with pytest.raises(Waiting, match="daily_cap=5") as capped:
        throttle.acquire()
    assert capped.value.reason == "daily cap"


def test_pauses_grow_until_something_goes_well() -> None:
    clock = FakeClock()
    throttle = throttled(clock, between_videos=(0, 0), pauses=(60, 120))
    for _ in range(2):
        throttle.acquire()
        throttle.back_off(TooManyRequests("too many", reason="rate limit"))
    throttle.acquire()
    throttle.reset_backoff()
    throttle.back_off(TooManyRequests("too many", reason="rate limit"))
    throttle.acquire()
    assert clock.sleeps == [60, 120, 60]


def test_the_site_may_ask_for_a_longer_pause() -> None:
    clock = FakeClock()
    throttle = throttled(clock, between_videos=(0, 0), pauses=(60,))
    refusal = TooManyRequests("too many", reason="rate limit")
    refusal.retry_after = 600
    throttle.back_off(refusal)
    throttle.acquire()
    assert clock.sleeps == [600]


def test_when_every_pause_was_tried_the_rest_waits_for_another_run() -> None:
    throttle = throttled(FakeClock(), pauses=(1,))
    refusal = TooManyRequests("too many", reason="rate limit")
    throttle.back_off(refusal)
    with pytest.raises(TooManyRequests):
        throttle.back_off(refusal)
    with pytest.raises(Waiting) as waiting:
        throttle.acquire()
    assert waiting.value.reason == "rate limit"


def test_a_bot_check_stops_every_request() -> None:
    throttle = throttled(FakeClock())
    throttle.acquire()
    throttle.block(BlockedBySite("not a bot?", reason="bot check"))
    with pytest.raises(Waiting) as waiting:
        throttle.acquire()
    assert waiting.value.reason == "bot check"


def test_the_usual_pauses_last_as_long_as_the_limit_of_the_site() -> None:
    assert sum(RateLimits().pauses) >= 3600


@pytest.mark.parametrize(
    "limits",
    [{"between_videos": (5, 1)}, {"concurrency": 0}, {"daily_cap": 0}],
)
def test_limits_that_mean_nothing_are_refused(limits: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(limits))):
        RateLimits(**limits)


def test_rate_limits_enter_no_digest() -> None:
    quick = YouTubeSource(["@handle"], rate_limits=RateLimits(concurrency=9))
    usual = YouTubeSource(["@handle"])
    pairs = zip(quick.stages(), usual.stages(), strict=True)
    assert all(one.digest == other.digest for one, other in pairs)
    lower = YouTubeSource(["@handle"], max_height=480)
    assert lower.stages()[1].digest != usual.stages()[1].digest


def test_a_forecast_adds_up() -> None:
    known = Listing(source_id="a", seconds=3600, bytes=900_000_000)
    timed = Listing(source_id="b", seconds=1800)
    blank = Listing(source_id="c")
    limits = RateLimits(between_videos=(10, 20), concurrency=1, bytes_per_second=1e6)
    total = forecast_download([known, timed, blank], limits, 720)
    assert total.seconds == 3600 + 1800 + 300
    assert total.bytes == 900_000_000 + (1800 + 300) * 250_000
    assert total.wall_seconds == total.bytes / 1e6
    assert str(total) == (
        "3 videos to download: about 1.6 h of footage, 1.4 GB, 23.8 min at the rate limits; "
        "1 of unknown duration, taken as 5 min"
    )


def test_a_daily_cap_makes_days() -> None:
    videos = [Listing(source_id=str(n), seconds=60) for n in range(1000)]
    total = forecast_download(videos, RateLimits(daily_cap=400), 720)
    assert total.wall_seconds == 2 * 86_400  # on the third day
    assert forecast_download([], RateLimits(daily_cap=400), 720).wall_seconds == 0
