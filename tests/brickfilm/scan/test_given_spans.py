"""Spans that a source lists in seconds become frames, or a reason why not."""

from __future__ import annotations

import pytest

from brickfilm.errors import Rejected
from brickfilm.records import GivenSpan
from brickfilm.scan.given_spans import ranges_beside, ranges_of_spans
from tests.kit.timestamps import timestamps

TWO_SECONDS = timestamps([1] * 47)


@pytest.mark.parametrize(
    ("span", "frames"),
    [
        (GivenSpan(caption="a"), (0, 48)),
        (GivenSpan(start=0.5, end=1.0), (12, 24)),
        (GivenSpan(start=0.52, end=1.01), (12, 24)),
        (GivenSpan(start=1.0), (24, 48)),
        (GivenSpan(start=1.0, end=2.5), (24, 48)),
    ],
)
def test_a_span_has_the_frames_nearest_to_it(span: GivenSpan, frames: tuple[int, int]) -> None:
    assert list(ranges_of_spans(TWO_SECONDS, [span])) == [(span, frames)]


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        (GivenSpan(start=1.0, end=2.51), "span beyond the end"),
        (GivenSpan(start=2.0), "span beyond the end"),
        (GivenSpan(start=0.5, end=0.51), "span without a frame"),
    ],
)
def test_a_span_without_frames_is_rejected(span: GivenSpan, reason: str) -> None:
    ((_, found),) = ranges_of_spans(TWO_SECONDS, [span])
    assert isinstance(found, Rejected) and found.reason == reason


def test_only_the_whole_video_can_be_found_where_time_goes_back() -> None:
    times = timestamps([1, 1, -2, 1])
    (_, whole), (_, part) = ranges_of_spans(times, [GivenSpan(), GivenSpan(start=0.01)])
    assert whole == (0, 5)
    assert isinstance(part, Rejected) and part.reason == "span of a broken clock"


def test_frames_beside_the_listed_ones_are_found() -> None:
    assert list(ranges_beside([(2, 5), (4, 6)], 8)) == [(0, 2), (6, 8)]
