"""The page itself: whole, alone, and safe whatever a title holds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from brickfilm.records import Caption
from brickfilm.report import write_report
from brickfilm.report.page import format_duration
from tests.kit.report_builds import image_of, report_context, result_of, shot, source_video

EVIL = "<script>document.title = 'owned'</script>"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def test_the_page_needs_no_other_file_and_no_network(tmp_path: Path) -> None:
    clips = [shot(tmp_path, source_video("one"), n) for n in range(3)]
    page = write_report(report_context(tmp_path, [*clips, *map(image_of, clips)])).read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!#)|@import|url\(""", page)
    cards = cards_of(page)
    assert [len(cards["clips"]), len(cards["images"])] == [3, 3]
    assert all(s.startswith("data:image/jpeg;base64,") for c in cards["clips"] for s in c["stills"])
    assert not list(tmp_path.glob(".report*"))


def test_titles_captions_and_messages_cannot_leave_their_place(tmp_path: Path) -> None:
    bad = shot(tmp_path, source_video(EVIL), 0, caption=Caption(text=f"</script>{EVIL}"))
    failed = result_of(source_video(f"{EVIL}\n☃ '\""), "failed", EVIL, message=EVIL)
    page = write_report(report_context(tmp_path, [bad], [failed])).read_text()
    assert EVIL not in page
    assert page.count("<script") == 3  # cards, meanings of scores, the code
    assert cards_of(page)["clips"][0]["caption"] == f"</script>{EVIL}"


def test_a_name_that_is_no_unicode_still_gives_a_page(tmp_path: Path) -> None:
    odd = replace(source_video("odd"), title="film \udcff.mp4", source_id="film \udcff.mp4")
    page = write_report(
        report_context(
            tmp_path,
            excluded_clips=[shot(tmp_path, odd, 0)],
            item_results=[result_of(odd, "failed", "x")],
        )
    )
    assert "film ?.mp4" in page.read_text(encoding="utf-8")


def test_an_incomplete_build_says_so_and_how_to_go_on(tmp_path: Path) -> None:
    clip = shot(tmp_path, source_video("one"), 0)
    whole = write_report(report_context(tmp_path, [clip])).read_text()
    assert 'class="banner"' not in whole
    built = report_context(tmp_path, [clip], [result_of(clip, "waiting", "budget")])
    page = " ".join(write_report(built).read_text().split())
    assert "0 failed, 1 waiting" in page
    assert "Run the same command again" in page


def test_a_build_of_nothing_has_a_page_too(tmp_path: Path) -> None:
    assert "the source listed no video" in write_report(report_context(tmp_path)).read_text()


def test_a_still_that_is_gone_leaves_a_gap_and_no_error(tmp_path: Path) -> None:
    clip = shot(tmp_path, source_video("one"), 0)
    (tmp_path / clip.stills[1].path).unlink()
    (card,) = cards_of(write_report(report_context(tmp_path, [clip])).read_text())["clips"]
    assert [bool(s) for s in card["stills"]] == [True, False, True]


def test_the_same_build_gives_the_same_page(tmp_path: Path) -> None:
    built = report_context(tmp_path, [shot(tmp_path, source_video("one"), n) for n in range(3)])
    assert write_report(built).read_bytes() == write_report(built).read_bytes()


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.44, "7.4 s"), (200, "3 min 20 s"), (18720, "5 h 12 min")]
)
def test_footage_is_told_in_hours_minutes_seconds(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_draws_the_cards_and_runs_nothing_from_a_title(tmp_path: Path) -> None:
    clips = [shot(tmp_path, source_video(EVIL), n) for n in range(60)]
    clips[0] = replace(clips[0], caption=Caption(text=EVIL))
    drawn = dom_of(write_report(report_context(tmp_path, clips)))
    assert drawn.count("<article") == 12  # the sections below stay in reach
    assert "Show more (48 left)" in drawn
    assert "<title>owned" not in drawn
    assert "&lt;script&gt;document.title" in drawn


def dom_of(page: Path) -> str:
    """The page after its code ran, from a real browser."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    return subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    ).stdout


def cards_of(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="cards">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])
