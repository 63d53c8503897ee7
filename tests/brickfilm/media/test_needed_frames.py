"""Frames that are asked for alone are those of a full decode, and others are not decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from brickfilm.media import open_video
from brickfilm.media.decode import VideoReader
from brickfilm.records import Span
from tests.kit.packet_groups import FRAMES, GROUPS, drawn, lumas, span_of


@contextmanager
def counting(reader: VideoReader) -> Iterator[list[object]]:
    """Collect the packets that are decoded."""
    sent: list[object] = []
    feed = reader.damage.feed
    reader.damage.feed = lambda packet: (sent.append(packet), feed(packet))[1]  # type: ignore[method-assign]
    yield sent


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("threads", [1, 2])
def test_needed_frames_are_those_of_a_full_decode(name: str, threads: int, tmp_path: Path) -> None:
    path = drawn(tmp_path / "a.mp4", GROUPS[name])
    times, whole = lumas(path)
    assert len(times) == FRAMES
    rng = np.random.default_rng(7)
    cuts = [(0, 17), (17, 18), (18, 44), (47, 75), (75, FRAMES)]
    back_again = [*cuts, (3, 30), (20, 50)]  # and spans that overlap
    with open_video(path, threads=threads) as reader:
        for start, end in back_again:
            picked = {start, end - 1, *rng.integers(start, end, 3).tolist()}
            frames = list(reader.span(span_of(times, start, end), only=picked))
            shown = {f.number: f.luma() for f in frames}
            assert name == "open groups" or picked == shown.keys()
            assert picked <= shown.keys()
            assert {frame.raw.time_base for frame in frames} == {reader.stream.time_base}
            for number, luma in shown.items():
                np.testing.assert_array_equal(luma, whole[number])
        start, end = cuts[2]
        frames = list(reader.span(span_of(times, start, end)))
        assert [frame.number for frame in frames] == list(range(start, end))


def test_frames_that_nobody_needs_are_not_decoded(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a.mp4", {"g": "15", "bf": "3"})
    times, _ = lumas(path)
    with open_video(path, threads=1) as reader, counting(reader) as sent:
        (frame,) = reader.span(span_of(times, 0, FRAMES), only={62})
    assert frame.number == 62
    assert len(sent) <= 8  # of the group from 60 on


def test_a_span_that_is_not_in_the_video_is_an_error_as_before(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a.mp4", GROUPS["short groups"])
    times, whole = lumas(path)
    shifted = Span(start_frame=0, end_frame=20, start_pts=times[0] + 1, end_pts=times[20])
    with open_video(path, threads=1) as reader:
        with pytest.raises(Exception, match="no longer decodes as it was scanned"):
            list(reader.span(shifted, only={3}))
        frames = list(reader.span(span_of(times, 5, 20), only={7}))
        assert [f.number for f in frames] == list(range(5, 20))  # all, once skipping has failed
        np.testing.assert_array_equal(frames[2].luma(), whole[7])
