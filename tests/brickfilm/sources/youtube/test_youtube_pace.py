"""Politeness, on a clock that only moves when somebody sleeps."""

from __future__ import annotations

import pytest

from brickfilm.errors import UsageError, Waiting
from brickfilm.records import Listing
from brickfilm.sources import RateLimits, YouTubeSource
from brickfilm.sources.youtube.forecast import forecast_download
from brickfilm.sources.youtube.throttle import BlockedBySite, Throttle, TooManyRequests


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def paced(clock: Clock, fetched: int = 0, **manners: object) -> Throttle:
    return Throttle(RateLimits(**manners), fetched, clock=clock, sleep=clock.sleep)


def test_films_start_no_closer_than_asked() -> None:
    clock = Clock()
    pace = paced(clock, between_films=(10, 20))
    for _ in range(5):
        pace.acquire()
    assert len(clock.slept) == 4  # the first one starts at once
    assert all(10 <= seconds <= 20 for seconds in clock.slept)
    assert len(set(clock.slept)) == 4


def test_time_spent_fetching_counts_towards_the_gap() -> None:
    clock = Clock()
    pace = paced(clock, between_films=(10, 10))
    pace.acquire()
    clock.now += 7
    pace.acquire()
    assert clock.slept == [3]


def test_a_daily_cap_counts_what_earlier_runs_fetched() -> None:
    pace = paced(Clock(), fetched=3, between_films=(0, 0), daily_cap=5)
    pace.acquire()
    pace.acquire()
    with pytest.raises(Waiting, match="daily_cap=5") as capped:
        pace.acquire()
    assert capped.value.reason == "daily cap"


def test_pauses_grow_until_something_goes_well() -> None:
    clock = Clock()
    pace = paced(clock, between_films=(0, 0), pauses=(60, 120))
    for _ in range(2):
        pace.acquire()
        pace.back_off(TooManyRequests("too many", reason="rate limit"))
    pace.acquire()
    pace.reset_backoff()
    pace.back_off(TooManyRequests("too many", reason="rate limit"))
    pace.acquire()
    assert clock.slept == [60, 120, 60]


def test_the_site_may_ask_for_a_longer_pause() -> None:
    clock = Clock()
    pace = paced(clock, between_films=(0, 0), pauses=(60,))
    refusal = TooManyRequests("too many", reason="rate limit")
    refusal.retry_after = 600
    pace.back_off(refusal)
    pace.acquire()
    assert clock.slept == [600]


def test_when_every_pause_was_tried_the_rest_waits_for_another_run() -> None:
    pace = paced(Clock(), pauses=(1,))
    refusal = TooManyRequests("too many", reason="rate limit")
    pace.back_off(refusal)
    with pytest.raises(TooManyRequests):
        pace.back_off(refusal)
    with pytest.raises(Waiting) as waiting:
        pace.acquire()
    assert waiting.value.reason == "rate limit"


def test_who_is_taken_for_a_robot_stops_knocking() -> None:
    pace = paced(Clock())
    pace.acquire()
    pace.block(BlockedBySite("not a bot?", reason="bot check"))
    with pytest.raises(Waiting) as waiting:
        pace.acquire()
    assert waiting.value.reason == "bot check"


def test_the_usual_pauses_last_as_long_as_the_limit_of_the_site() -> None:
    assert sum(RateLimits().pauses) >= 3600


@pytest.mark.parametrize(
    "manners",
    [{"between_films": (5, 1)}, {"concurrency": 0}, {"daily_cap": 0}],
)
def test_manners_that_mean_nothing_are_refused(manners: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(manners))):
        RateLimits(**manners)


def test_manners_enter_no_digest() -> None:
    quick = YouTubeSource(["@handle"], rate_limits=RateLimits(concurrency=9))
    usual = YouTubeSource(["@handle"])
    pairs = zip(quick.stages(), usual.stages(), strict=True)
    assert all(one.digest == other.digest for one, other in pairs)
    lower = YouTubeSource(["@handle"], max_height=480)
    assert lower.stages()[1].digest != usual.stages()[1].digest


def test_a_forecast_adds_up() -> None:
    known = Listing(source_id="a", seconds=3600, bytes=900_000_000)
    told = Listing(source_id="b", seconds=1800)
    blank = Listing(source_id="c")
    polite = RateLimits(between_films=(10, 20), concurrency=1, bytes_per_second=1e6)
    total = forecast_download([known, told, blank], polite, 720)
    assert total.seconds == 3600 + 1800 + 300
    assert total.bytes == 900_000_000 + (1800 + 300) * 250_000
    assert total.wall_seconds == total.bytes / 1e6
    assert str(total) == (
        "3 films to fetch: about 1.6 h of footage, 1.4 GB, 23.8 min at the polite rate; "
        "1 of unknown length, taken as 5 min"
    )


def test_a_daily_cap_makes_days() -> None:
    films = [Listing(source_id=str(n), seconds=60) for n in range(1000)]
    total = forecast_download(films, RateLimits(daily_cap=400), 720)
    assert total.wall_seconds == 2 * 86_400  # on the third day
    assert forecast_download([], RateLimits(daily_cap=400), 720).wall_seconds == 0
