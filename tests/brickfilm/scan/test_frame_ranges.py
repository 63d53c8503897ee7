"""Frame ranges: parts of long shots, and shots divided at forced cuts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brickfilm.scan.frame_ranges import split_at_forced_cuts, split_evenly, split_for_lengths


@given(st.integers(0, 500), st.integers(1, 5000), st.integers(1, 300))
def test_parts_cover_a_shot_and_differ_by_one_frame_at_most(
    start: int, frames: int, max_frames: int
) -> None:
    parts = list(split_evenly(start, start + frames, max_frames))
    lengths = [b - a for a, b in parts]
    assert sum(lengths) == frames
    assert max(lengths) <= max_frames
    assert max(lengths) - min(lengths) <= 1
    assert all(a[1] == b[0] for a, b in pairwise(parts))


def test_forced_cuts_divide_shots() -> None:
    assert list(split_at_forced_cuts([(0, 10), (12, 20)], [5, 11, 12])) == [
        (0, 5),
        (5, 10),
        (12, 20),
    ]


@pytest.mark.parametrize(
    ("frames", "lengths", "parts"),
    [
        (250, (129,), [200, 50]),  # 125 + 125 would be of no use
        (300, (129,), [150, 150]),
        (420, (129,), [140, 140, 140]),
        (390, (129,), [130, 130, 130]),  # 195 + 195 would waste a third
        (128, (129,), [128]),  # nothing can be used: as without lengths
        (250, (), [125, 125]),
        (200, (50, 98, 122), [100, 100]),
        (130, (26, 50, 122), [130]),  # 26 is no half of 122: the shot stays whole
    ],
)
def test_shots_are_split_into_lengths_that_a_training_uses(
    frames: int, lengths: tuple[int, ...], parts: list[int]
) -> None:
    ranges = list(split_for_lengths(10, 10 + frames, 200, lengths))
    assert [end - start for start, end in ranges] == parts
    assert [start for start, _ in ranges] == [10, *(end for _, end in ranges[:-1])]
    assert ranges[-1][1] == 10 + frames
