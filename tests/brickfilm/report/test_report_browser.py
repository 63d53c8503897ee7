"""The report of a real build in headless Chromium: clips play, and an empty search says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from brickfilm.report.titles import SCORE_MEANINGS
from tests.kit import ROOT
from tests.kit.browser import open_page, scrolls_sideways
from tests.kit.small_build import built, two_shots


def test_every_score_of_the_schema_has_its_line() -> None:
    page = (ROOT / "docs/dataset-schema.md").read_text(encoding="utf-8")
    assert set(SCORE_MEANINGS) == set(re.findall(r"^\| `score_(\w+)` \|", page, re.MULTILINE))


@pytest.mark.slow
def test_a_clip_plays_on_the_contact_sheet(tmp_path: Path) -> None:
    built(two_shots(tmp_path / "film.mp4", size=(128, 72)), tmp_path / "w")
    with open_page(f"file://{tmp_path}/w/report.html", width=390) as (page, _):
        page.get_by_role("button", name=re.compile("^play ")).first.press("Enter")
        video = page.locator("article video")
        video.wait_for()
        assert (
            page.evaluate(
                "new Promise((done) => { const video = document.querySelector('article video');"
                " const told = () => done(video.videoWidth);"
                " video.readyState > 0 ? told() : video.onloadedmetadata = told; })"
            )
            == 128
        )
        assert not scrolls_sideways(page)
        page.get_by_role("searchbox").fill("no such words")
        assert page.get_by_text("No clips match").is_visible()
        page.get_by_role("link", name="film", exact=True).press("Enter")  # in the table of videos
        assert page.locator("article").count() == 2
        page.get_by_role("img", name="timeline: 2 clips kept").locator("rect").first.click()
        assert page.locator("article").count() == 1
        page.get_by_role("article").get_by_text("scores").click()
        page.get_by_title(SCORE_MEANINGS["sharpness"]).wait_for()
        page.set_viewport_size({"width": 1280, "height": 800})
        page.reload()
        box = page.locator("article").first.bounding_box()
        assert box and box["y"] + box["height"] < 800, "the sheet begins within one screen"
