"""Frame ranges: parts of long shots, and shots divided at forced cuts."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from brickfilm.scan.frame_ranges import split_at_forced_cuts, split_evenly


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
