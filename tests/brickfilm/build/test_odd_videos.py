"""The table of docs/odd-videos.md is what a build does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.odd_videos import BEGIN, END, PAGE, build_all, make_all, outcomes, table


@pytest.mark.slow
def test_the_page_says_what_happens_to_odd_videos(tmp_path: Path) -> None:
    """Write it again by `python -m tests.kit.odd_videos`, and read the difference."""
    films = tmp_path / "films"
    films.mkdir()
    make_all(films)
    found = table(outcomes(build_all(films, tmp_path / "work")))
    written = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    assert found.splitlines() == written.strip().splitlines()
