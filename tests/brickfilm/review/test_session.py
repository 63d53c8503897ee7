"""The review page's acts: edits for the next build, undo, several people, rates of errors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from brickfilm import GPT4oCaptioner, RefusalFilter
from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.dataset.reader import find_dataset
from brickfilm.engine.ledger import Ledger, join_ledger, read_edits, read_reviews, read_trims
from brickfilm.errors import UsageError, WorkdirBusy
from brickfilm.hub.publish.card import dataset_card
from brickfilm.review.queues import cut_doubt
from brickfilm.review.session import ReviewAct, ReviewConflict, ReviewSession
from tests.kit.captions import AddImages, ClipSource, Written, clip
from tests.kit.servers.openai import CaptionServer, ReceivedRequest, Reply, answer

COUNT = 12
CLIPS = [clip(n, Path("/nonexistent"), at=()).id for n in range(COUNT)]


def said(request: ReceivedRequest) -> Reply:
    return answer("described", f"A dog number {request.digest[:6]} runs over a field.")


def built(work: Path, server: CaptionServer, **settings: object) -> BuildResult:
    asks = GPT4oCaptioner(base_url=server.url, **settings)
    stages = (Written(), AddImages(), asks, RefusalFilter())
    return build(ClipSource(COUNT, work), stages, workdir=work)


@pytest.fixture(scope="module")
def server() -> Iterator[CaptionServer]:
    with pytest.MonkeyPatch.context() as patch, CaptionServer() as running:
        patch.setenv("OPENAI_API_KEY", "sk-none")
        running.script = said
        yield running


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, server: CaptionServer) -> Path:
    work = tmp_path_factory.mktemp("reviewed") / "w"
    built(work, server)
    return work


@pytest.fixture
def work(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "w"))


def decision(number: int, reviewer: str = "Ann", **facts: object) -> ReviewAct:
    return ReviewAct(item=CLIPS[number], reviewer=reviewer, queue="random", **facts)


def captions(work: Path) -> dict[str, str]:
    rows = find_dataset(work).to_pandas("clips", ("id", "caption"))
    return dict(zip(rows.id, rows.caption, strict=True))


@pytest.mark.slow
def test_decisions_outlive_a_rebuild_and_a_new_prompt_without_a_request(
    server: CaptionServer, work: Path
) -> None:
    session, before = ReviewSession(work), captions(work)
    words = "Ein rotes Auto. 一辆红色的车。 سيارة حمراء. 🚗"
    session.act(decision(0, caption=words, caption_wrong=True))
    session.act(decision(1, reject=True, note="too dark"))
    session.act(decision(2))
    asked = len(server.requests)
    built(work, server)
    assert len(server.requests) == asked
    wanted = {id: text for id, text in before.items() if id != CLIPS[1]} | {CLIPS[0]: words}
    assert captions(work) == wanted
    built(work, server, prompt="general")
    assert len(server.requests) == asked + 2 * COUNT - 2  # clips and images; two are decided
    assert captions(work)[CLIPS[0]] == words
    assert CLIPS[1] not in captions(work)


def test_undo_takes_back_ones_own_last_act_only(work: Path) -> None:
    session = ReviewSession(work)
    session.act(decision(0, caption="Mine.", caption_wrong=True))
    session.act(decision(0, caption="Mine, better.", seen=1))
    session.act(decision(1, "Bo", reject=True))
    undone = session.undo("Ann")
    assert undone is not None and undone["caption"] == "Mine."
    session.undo("Ann")
    assert session.undo("Ann") is None
    assert {item: edit.reject for item, edit in read_edits(work).items()} == {CLIPS[1]: True}
    assert [review.reviewer for review in read_reviews(work)] == ["Bo"]


def test_of_two_people_on_one_clip_the_later_sees_the_earlier_first(work: Path) -> None:
    ann, bo = ReviewSession(work), ReviewSession(work)
    shown = ann.act(decision(0, "Ann", caption="Ann's.", caption_wrong=True))
    with pytest.raises(ReviewConflict, match="Ann has decided"):
        bo.act(decision(0, "Bo", reject=True))
    bo.act(decision(0, "Bo", reject=True, seen=shown["last"]["number"]))
    with pytest.raises(ReviewConflict, match="you have decided"):
        bo.act(decision(0, "Bo"))  # of another window, opened before
    ann.undo("Ann")
    assert read_edits(work)[CLIPS[0]].reject, "the later decision stays"


def test_a_running_build_and_contradictions_store_nothing(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brickfilm.review.session.LOCK_SECONDS", 0.0)
    session = ReviewSession(work)
    with Ledger(work), pytest.raises(WorkdirBusy):
        session.act(decision(0, caption="Mine."))
    for wrong, reason in (
        (decision(0, reviewer="  "), "your name"),
        (decision(0, caption=" "), "caption is empty"),
        (decision(0, trim=(5, 5)), "trim 5-5"),
        (decision(0, trim=(0, 10**9)), "trim 0-1000000000"),
        (ReviewAct(item="none", reviewer="Ann", queue="random"), "not in the last build"),
    ):
        with pytest.raises(UsageError, match=reason):
            session.act(wrong)
    assert not read_edits(work) and not read_reviews(work)


@pytest.mark.slow
def test_the_card_states_the_rate_of_planted_errors(server: CaptionServer, work: Path) -> None:
    session = ReviewSession(work)
    for number in range(10):
        session.act(decision(number, caption_wrong=number < 2, cut_wrong=number == 7))
    session.act(ReviewAct(item=CLIPS[11], reviewer="Bo", queue="cuts", cut_wrong=True))
    session.act(decision(0, "Bo", caption="Corrected.", caption_wrong=True, seen=1))
    rates = {
        "captions": "20 % (5.7-51.0 %, 10 reviewed)",
        "cuts": "10 % (1.8-40.4 %, 10 reviewed)",
    }
    assert session.rates() == rates
    built(work, server)
    card = dataset_card(find_dataset(work), "a/b", media="embedded", sizes={}).text
    report = (work / "report.html").read_text()
    for name, rate in rates.items():
        assert f"{name} wrong in {rate}" in card
        assert f"{name} wrong in {rate}" in report
    built(work, server, prompt="general")
    assert ReviewSession(work).rates() == {"cuts": rates["cuts"]}, "other captions, the same cuts"


def test_a_merge_copies_edits_trims_and_verdicts_once(
    work: Path, original: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(original, tmp_path / "other"))
    there = ReviewSession(other)
    there.act(decision(3, caption="From elsewhere.", caption_wrong=True))
    there.act(decision(5, trim=(0, 12), cut_wrong=True))
    ReviewSession(work).act(decision(4))
    for _ in range(2):
        join_ledger(work, other)
    assert read_edits(work) == read_edits(other)
    assert read_trims(work) == read_trims(other)
    assert [(r.item, r.cut_wrong) for r in read_reviews(work)] == [
        (CLIPS[4], False),
        (CLIPS[3], False),
        (CLIPS[5], True),
    ]


def test_a_doubt_is_the_likeliest_error_of_the_detector() -> None:
    assert cut_doubt({}) == (0.0, "")
    assert cut_doubt({"cut_start": 1.0, "cut_end": 1.0, "cut_inside": 0.0}) == (0.0, "")
    scores = {"cut_start": 0.75, "cut_end": 0.4, "cut_inside": 0.5}
    assert cut_doubt(scores) == (0.6, "its last cut may be none (60%)")
