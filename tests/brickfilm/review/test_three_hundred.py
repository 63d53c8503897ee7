"""300 clips reviewed by keyboard in a browser: edits survive, and the card has the right rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from brickfilm import FolderSource, FrameSampler, GPT4oCaptioner, RefusalFilter, SceneSplitter
from brickfilm.build.merge import merge_shards
from brickfilm.captions.error_rates import ErrorRate
from brickfilm.dataset.reader import find_dataset
from brickfilm.engine.ledger import read_edits, read_reviews, read_trims
from brickfilm.hub.publish.card import dataset_card
from tests.kit.browser import open_page
from tests.kit.footage import shots_bytes
from tests.kit.review_server import running_review
from tests.kit.servers.openai import CaptionServer, ReceivedRequest, Reply, answer
from tests.kit.small_build import inline_build

VIDEOS, SHOTS, FRAMES = 12, 30, 18
ENOUGH = 300
"""The detector joins about every ninth pair of these shots of noise."""
MINE = "我的 صندوق 🧱 e\u0301: a brick."
"""A caption in several scripts, with a combining accent."""
AFTER = "before => document.querySelector('#progress').textContent !== before"
STOP_AT_HALF_A_SECOND = """new Promise((done) => {
  const video = document.querySelector("#stage video");
  const stop = () => { video.onseeked = done; video.pause(); video.currentTime = 0.5; };
  video.readyState > 0 ? stop() : video.onloadedmetadata = stop;
})"""


def said(request: ReceivedRequest) -> Reply:
    """Plant a wrong caption in about one of twelve."""
    word = "wrong" if int(request.digest[:6], 16) % 12 == 0 else "right"
    return answer("described", f"A dog number {request.digest[:8]} runs the {word} way.")


def stages(server: CaptionServer, **settings: Any) -> tuple[Any, ...]:
    asks = GPT4oCaptioner(base_url=server.url, **settings)
    return SceneSplitter(), FrameSampler(), asks, RefusalFilter()


def captions(work: Path, config: str = "clips") -> dict[str, str]:
    rows = find_dataset(work).to_pandas(config, ("id", "caption"))
    return dict(zip(rows.id, rows.caption, strict=True))


class Reviewer:
    """Reviews by keyboard: corrects wrong captions, trims and leaves out some clips."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.wrong = self.cuts = self.rejected = 0

    def review(self, page: Any, first: int, end: int) -> None:
        page.locator("#stage video").wait_for()
        page.locator("#reviewer").press("Control+a")
        page.keyboard.type("Ann")
        page.keyboard.press("Escape")
        for number in range(first, end):
            before = page.locator("#progress").inner_text()
            assert before == f"{number + 1} of {self.count}, {number} reviewed"
            page.keyboard.press(self.decide(page, number))
            page.wait_for_function(AFTER, arg=before)

    def decide(self, page: Any, number: int) -> str:
        if "wrong" in page.locator("#caption").input_value():
            self.wrong += 1
            page.keyboard.press("e")
            page.keyboard.press("Control+a")
            page.keyboard.insert_text(MINE)
            page.keyboard.press("Escape")
        elif number % 25 == 7:
            self.rejected += 1
            return "r"
        elif number % 30 == 11:
            self.cuts += 1
            page.evaluate(STOP_AT_HALF_A_SECOND)
            page.keyboard.press("]")
        return "a"


@pytest.mark.soak
def test_300_clips_reviewed_by_keyboard(server: CaptionServer, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    for n in range(VIDEOS):
        film = shots_bytes(*[FRAMES] * SHOTS, width=96, height=54, block=6, step=2, seed=n)
        (tmp_path / "films" / f"{n}.mp4").write_bytes(film)
    source, work = FolderSource(tmp_path / "films"), tmp_path / "w"
    inline_build(source, *stages(server), workdir=work)
    before, asked = captions(work), len(server.requests)
    count = len(before)
    assert count >= ENOUGH and asked == 2 * count
    planted = {id for id, text in before.items() if "wrong" in text}

    ann = Reviewer(count)
    for first, end in ((0, count // 2), (count // 2, count)):  # the browser is closed between
        with running_review(work) as served, open_page(served.address, height=800) as (page, _):
            ann.review(page, first, end)
            rates = page.locator("#rates").inner_text()
    assert ann.wrong == len(planted) and ann.cuts and ann.rejected
    expected = {"captions": ErrorRate(ann.wrong, count), "cuts": ErrorRate(ann.cuts, count)}
    assert rates == "; ".join(f"{name} wrong in {rate}" for name, rate in expected.items())

    inline_build(source, *stages(server), workdir=work)
    assert len(server.requests) == asked, "nothing is asked"
    trims = {trim.item: trim.result for trim in read_trims(work).values()}
    out = {item for item, edit in read_edits(work).items() if edit.reject}
    assert (len(trims), len(out)) == (ann.cuts, ann.rejected)
    wanted = {
        trims.get(id, id): MINE if id in planted else text
        for id, text in before.items()
        if id not in out
    }
    assert captions(work) == wanted
    card = dataset_card(find_dataset(work), "a/b", media="embedded", sizes={}).text
    for name, rate in expected.items():
        assert f"{name} wrong in {rate}" in card
        assert f"{name} wrong in {rate}" in (work / "report.html").read_text()

    joined = tmp_path / "joined"
    merge_shards(source, stages(server), workdir=joined, folders=[work])
    assert captions(joined) == wanted
    assert [r.item for r in read_reviews(joined)] == [r.item for r in read_reviews(work)]

    inline_build(source, *stages(server, prompt="general"), workdir=work)
    decided = {*planted, *out, *trims}
    kept = {id: text for id, text in captions(work).items() if id in planted - trims.keys()}
    assert len(server.requests) == asked + 2 * count - len(decided), "one for each image"
    assert set(kept.values()) == {MINE}
    assert not out & captions(work).keys()
