"""The review page in headless Chromium: keyboard only, both widths, both colour schemes."""

from __future__ import annotations

from pathlib import Path

import pytest

from brickfilm.engine.ledger import read_edits, read_reviews, read_trims
from tests.kit.browser import open_page, scrolls_sideways
from tests.kit.review_server import running_review

STOP_AT_HALF_A_SECOND = """new Promise((done) => {
  const video = document.querySelector("#stage video");
  const stop = () => { video.onseeked = done; video.pause(); video.currentTime = 0.5; };
  video.readyState > 0 ? stop() : video.onloadedmetadata = stop;
})"""


@pytest.mark.slow
def test_a_clip_is_corrected_left_out_trimmed_and_undone_by_keyboard(small_work: Path) -> None:
    with running_review(small_work) as served, open_page(served.address) as (page, requests):
        errors: list[str] = []
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.locator("#stage video").wait_for()
        message = page.locator("#message")
        page.keyboard.press("a")
        assert message.inner_text() == "write your name first"
        page.keyboard.type("Ann")
        page.keyboard.press("Escape")
        first = page.locator("#facts").inner_text()
        page.keyboard.press("e")
        page.keyboard.press("Control+a")
        page.keyboard.type("A red wall <b>")
        page.keyboard.press("Escape")
        assert page.locator("#caption_wrong").is_checked()
        page.keyboard.press("a")
        message.filter(has_text="kept").wait_for()
        second = page.locator("#facts").inner_text()
        assert second != first, "the next clip is shown"
        page.keyboard.press("r")
        message.filter(has_text="left out").wait_for()
        edits = {edit.caption: edit.reject for edit in read_edits(small_work).values()}
        assert edits == {"A red wall <b>": False, None: True}
        page.keyboard.press("u")
        message.filter(has_text="undone").wait_for()
        assert len(read_edits(small_work)) == 1
        page.evaluate(STOP_AT_HALF_A_SECOND)
        page.keyboard.press("]")
        assert page.locator("#trim").inner_text() == "keep frames 0 to 12"
        assert page.locator("#cut_wrong").is_checked()
        page.keyboard.press("a")
        message.filter(has_text="kept").wait_for()
        (trim,) = read_trims(small_work).values()
        assert trim.end_frame - trim.start_frame == 13
        assert page.locator("#rates").inner_text().endswith("2 reviewed)")
        for role, name in (("button", "Leave out"), ("textbox", "caption"), ("combobox", "queue")):
            assert page.get_by_role(role, name=name, exact=True).count() == 1, name
        assert page.get_by_role("checkbox", name="cut is wrong").count() == 1
        for width, scheme in ((1280, "light"), (390, "dark")):
            page.set_viewport_size({"width": width, "height": 844})
            page.emulate_media(color_scheme=scheme)
            assert not scrolls_sideways(page), (width, scheme)
        page.locator("#search").fill("no such words")
        assert page.locator("#empty").is_visible()
        assert not errors
        assert all(url.startswith((served.base, "data:")) for url in requests)
    assert [review.reviewer for review in read_reviews(small_work)] == ["Ann", "Ann"]


@pytest.mark.slow
def test_what_was_typed_outlives_another_window_the_next_clip_and_the_server(
    small_work: Path,
) -> None:
    with open_page("about:blank") as (ann, _):
        with running_review(small_work) as served:
            bo = ann.context.browser.new_page()
            for page, name in ((ann, "Ann"), (bo, "Bo")):
                page.goto(served.address)
                page.locator("#stage video").wait_for()
                page.locator("#reviewer").fill(name)
                page.keyboard.press("Escape")
            ann.keyboard.press("r")
            ann.locator("#message").filter(has_text="left out").wait_for()
            bo.locator("#caption").fill("سيارة حمراء 🚗 e\u0301")
            bo.keyboard.press("Escape")
            bo.keyboard.press("a")
            bo.locator("#message").filter(has_text="Ann has decided").wait_for()
            words = "to be left out, changes not stored yet, last verdict by Ann"
            bo.locator("#status").filter(has_text=words).wait_for()
            assert bo.locator("#caption").input_value() == "سيارة حمراء 🚗 e\u0301"
            assert all(edit.reject for edit in read_edits(small_work).values())
            bo.keyboard.press("j")
            bo.keyboard.press("k")
            bo.keyboard.press("a")
            bo.locator("#message").filter(has_text="kept").wait_for()
            (edit,) = read_edits(small_work).values()
            assert (edit.caption, edit.reject) == ("سيارة حمراء 🚗 e\u0301", False)
        bo.locator("#note").fill("unsure")
        bo.keyboard.press("Escape")
        bo.keyboard.press("a")
        bo.locator("#message").filter(has_text="nothing was stored").wait_for()
        assert bo.locator("#note").input_value() == "unsure"
