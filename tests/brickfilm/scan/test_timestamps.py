"""Clock jumps, damaged ranges and the last frame's time, from stored answers."""

from __future__ import annotations

import pytest

from brickfilm.media import FrameFlag
from brickfilm.records import Video
from brickfilm.scan.timestamps import TimestampAnalyzer
from tests.kit.timestamps import timestamps
from tests.kit.toy_stages import video

D, B, U = FrameFlag.DAMAGED, FrameFlag.BIDIRECTIONAL, FrameFlag.UNTIMED


@pytest.mark.parametrize("gap", [241, 3600 * 24])
def test_a_clip_ends_where_the_clock_jumps_forward(gap: int) -> None:
    times = timestamps([1, 1, gap, 1])
    assert times.forced_cuts == [3]
    assert times.span(0, 3).end_pts == 3
    assert times.shown_seconds() == 5 / 24
    assert not times.needs_counting


@pytest.mark.parametrize("hold", [100, 60])
def test_a_frame_that_is_held_for_long_is_no_gap(hold: int) -> None:
    times = timestamps([1, 1, hold, 1])
    assert times.forced_cuts == []
    assert times.span(0, 3).end_pts == 2 + hold


def test_frames_a_quarter_of_a_minute_apart_are_no_gaps() -> None:
    assert timestamps([15 * 24] * 5).forced_cuts == []


def test_a_jump_back_ends_a_clip_and_its_last_frame_lasts_as_long_as_usual() -> None:
    times = timestamps([2, 2, -1, 2])
    assert times.backward_jumps == times.forced_cuts == [3]
    assert times.span(0, 3).end_pts == 6
    assert times.needs_counting


def test_two_frames_far_apart_do_not_tell_a_frame_rate() -> None:
    times = timestamps([1, 1, 1, 1, 1, 5, -4, 1, 1])
    assert times.span(5, 7).end_pts == 11
    pieces = (times.span(0, 5), times.span(5, 7), times.span(7, 10))
    assert sum(p.end_pts - p.start_pts for p in pieces) == times.shown_seconds() * 24


def test_the_last_frame_lasts_as_long_as_usual_if_the_container_says_an_hour() -> None:
    assert timestamps([1, 1], last=1).span(0, 3).end_pts == 3
    assert timestamps([1, 1], last=5).span(0, 3).end_pts == 7
    assert timestamps([1, 1], last=86_400).span(0, 3).end_pts == 3


def test_damaged_ranges_begin_with_the_b_frames_before_them() -> None:
    times = timestamps([1] * 7, flags=[0, B, 0, B, B, D, D | B, 0])
    assert times.damaged == [(3, 7)]
    assert times.forced_cuts == [3, 7]


def test_frames_are_counted_where_many_have_no_presentation_time() -> None:
    assert timestamps([1] * 9, flags=[0] * 8 + [U] * 2).needs_counting
    assert not timestamps([1] * 9, flags=[0] * 9 + [U]).needs_counting


def test_answers_of_older_versions_have_no_flags() -> None:
    times = timestamps([1, 1])
    assert times.damaged == []
    assert times.sizes.tolist() == [[64, 64]] * 3


@pytest.mark.parametrize(
    ("container", "key"),
    [("avi/h264", "film:retimed"), ("avi/mjpeg", "film"), ("mov/h264", "film")],
)
def test_only_formats_that_were_timed_wrongly_are_scanned_again(container: str, key: str) -> None:
    class Named(Video):
        id = "film"

    named = Named(**{**vars(video("film")), "format": container})
    assert TimestampAnalyzer().key(named) == key
