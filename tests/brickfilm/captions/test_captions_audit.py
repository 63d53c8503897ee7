"""The audit: faults are found, a second caption is requested once, and the rest is rejected."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brickfilm.captions.audit import audit_rates
from brickfilm.captions.lint import lint
from brickfilm.captions.request import CaptionRequest
from brickfilm.engine.ledger import spend_frame
from brickfilm.engine.run import PipelineRun
from brickfilm.errors import Rejected
from brickfilm.records import Caption
from brickfilm.stages import CaptionAudit, GPT4oCaptioner, RefusalFilter
from tests.kit.captions import (
    AddImages,
    ClipSource,
    clip,
    count_results,
    run_captions,
    worst_case_cost,
)
from tests.kit.servers.openai import (
    MALFORMED,
    CaptionServer,
    ModelReply,
    ReceivedRequest,
    Reply,
    Script,
    answer,
    described,
)

CLEAN = "A red car stops in front of a blue house while a dog runs across the wet street."
FAULTS = {
    "medium": (0.07, "The video shows a man in a red cap who walks past a blue house."),
    "sentences": (0.007, "A man sits. He stands. He walks. He stops. He turns. He runs home."),
    "hedging": (0.24, "A man in a red cap appears to be waiting in front of a blue house."),
}
STUBBORN = 0.1
"""The share of faulty captions that are no better the second time."""


def captioner(server: CaptionServer, **settings: Any) -> GPT4oCaptioner:
    return GPT4oCaptioner(base_url=server.url, concurrency=8, timeout=10.0, **settings)


def audited(work: Path, count: int, stage: GPT4oCaptioner) -> PipelineRun:
    return run_captions(
        work, ClipSource(count, work), AddImages(), stage, RefusalFilter(), CaptionAudit(stage)
    )


def share(request: ReceivedRequest) -> float:
    """Hash the stills to [0, 1): the same stills have the same fault."""
    return int(request.digest, 16) / 16**12


def injected(request: ReceivedRequest) -> Reply:
    """Inject faults at measured rates; one in ten is as bad the second time."""
    lot = share(request)
    for rate, caption in FAULTS.values():
        if lot < rate:
            stubborn = lot < STUBBORN * rate
            return answer("described", caption if stubborn or not request.is_revision else CLEAN)
        lot -= rate
    return answer("described", CLEAN)


def saying(first: str, second: Reply | str) -> Script:
    """Reply with one caption first, and another to a revision request."""
    again = answer("described", second) if isinstance(second, str) else second
    return lambda request: again if request.is_revision else answer("described", first)


def fault_test(server: CaptionServer, work: Path, count: int) -> None:
    server.script = injected
    stage = captioner(server)
    run = audited(work, count, stage)
    first = [a for a in server.requests if not a.is_revision]
    lots = [share(a) for a in first]
    bad = sum(lot < sum(rate for rate, _ in FAULTS.values()) for lot in lots)
    counts = count_results(run, "CaptionAudit")
    rejected = sum(n for status, n in counts.items() if status.startswith("rejected: audit"))
    rules = stage.prompt_of(clip(0, work)).rules
    assert len(first) == 2 * count
    assert len(server.requests) - len(first) == bad  # one more request for each
    assert [item for item in run.finished if lint(item.caption.text, rules)] == []
    assert counts["done"] + rejected == 2 * count
    assert rejected <= bad * 0.3
    shares = f"{bad / len(first):.1%} requested again, {rejected / len(first):.1%} rejected"
    print(f"{2 * count} captions: {shares}")
    assert spend_frame(work).settled.sum() == pytest.approx(server.bill)
    requests = len(server.requests)
    again = audited(work, count, stage)
    assert len(server.requests) == requests
    assert len(again.finished) == len(run.finished)


@pytest.mark.slow
def test_no_injected_fault_is_left(server: CaptionServer, tmp_path: Path) -> None:
    fault_test(server, tmp_path, 60)


@pytest.mark.slow
def test_no_injected_fault_is_left_in_a_thousand(server: CaptionServer, tmp_path: Path) -> None:
    fault_test(server, tmp_path, 500)


def test_the_model_is_told_what_was_wrong_and_shown_the_stills_again(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = saying("The video shows a man.", CLEAN)
    stage = captioner(server)
    run = run_captions(tmp_path, ClipSource(1, tmp_path), stage, CaptionAudit(stage))
    first, second = server.requests
    assert server.invalid == []
    assert second.stills == first.stills
    reply, revision = second.body["messages"][-2:]
    assert json.loads(reply["content"])["caption"] == "The video shows a man."
    assert "'The video'" in revision["content"]
    (item,) = run.finished
    assert item.caption.text == CLEAN
    assert item.scores["broke_medium"] == item.scores["reasked"] == 1.0
    assert item.scores["broke_hedging"] == 0.0


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ("The video shows a man again.", "audit: medium"),
        (answer("no_movement"), "no_movement"),
        (ModelReply(None, refusal="No."), "refusal"),
        ("I'm sorry, but I cannot write that.", "refusal"),
        (ModelReply("a red brick and", finish="length"), "truncated"),
    ],
)
def test_a_second_bad_caption_is_rejected_without_a_third_request(
    server: CaptionServer, tmp_path: Path, second: Reply | str, reason: str
) -> None:
    server.script = saying("The video shows a man.", second)
    stage = captioner(server)
    for _ in range(2):
        run = run_captions(tmp_path, ClipSource(1, tmp_path), stage, CaptionAudit(stage))
        assert count_results(run, "CaptionAudit") == {f"rejected: {reason}": 1}
    assert len(server.requests) == 2


def test_requests_are_built_and_captions_linted_once(
    server: CaptionServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script = saying("The video shows a man.", CLEAN)
    counts: Counter[str] = Counter()

    def counted_lint(caption: str, *args: Any) -> Any:
        counts[caption] += 1
        return lint(caption, *args)

    for_item = CaptionRequest.for_item

    def counted_request(*args: Any) -> CaptionRequest:
        counts["requests"] += 1
        return for_item(*args)

    monkeypatch.setattr("brickfilm.stages.caption_audit.lint", counted_lint)
    monkeypatch.setattr(CaptionRequest, "for_item", counted_request)
    stage = captioner(server, max_cost_usd=1.0)
    run_captions(tmp_path, ClipSource(1, tmp_path), stage, CaptionAudit(stage))
    assert counts == {"requests": 2, "The video shows a man.": 1, CLEAN: 1}  # a stage each
    run_captions(tmp_path, ClipSource(1, tmp_path), stage, CaptionAudit(stage))
    assert counts == {"requests": 4, "The video shows a man.": 1, CLEAN: 1}  # a replay lints none


def test_a_malformed_second_reply_is_paid_and_requested_again(
    server: CaptionServer, tmp_path: Path
) -> None:
    replies: list[Reply] = [answer("described", "The video shows a man."), MALFORMED]
    server.script = lambda request: replies.pop(0) if replies else answer("described", CLEAN)
    stage = captioner(server)
    run = run_captions(tmp_path, ClipSource(1, tmp_path), stage, CaptionAudit(stage))
    assert len(run.finished) == 1
    assert len(server.requests) == 3
    assert spend_frame(tmp_path).settled.sum() == pytest.approx(server.bill)


def test_asking_again_is_on_the_captioners_budget(server: CaptionServer, tmp_path: Path) -> None:
    server.script = saying("The video shows a man.", CLEAN)
    one = worst_case_cost(captioner(server), clip(0, tmp_path))
    budget = 8 * one
    stage = captioner(server, max_cost_usd=budget)
    run = run_captions(tmp_path, ClipSource(30, tmp_path), stage, CaptionAudit(stage))
    assert server.bill <= budget
    assert any(a.is_revision for a in server.requests)
    waiting = [o for o in run.item_results if o.status == "waiting"]
    assert waiting and {o.reason for o in waiting} == {"budget"}
    richer = captioner(server, max_cost_usd=50.0)
    again = run_captions(tmp_path, ClipSource(30, tmp_path), richer, CaptionAudit(richer))
    assert len(again.finished) == 30
    assert len(server.requests) == 60


def test_without_a_captioner_no_request_is_sent(server: CaptionServer, tmp_path: Path) -> None:
    server.script = lambda request: (
        described(request) if request.is_image else answer("described", "A man seems sad and old.")
    )
    run = run_captions(
        tmp_path, ClipSource(2, tmp_path), AddImages(), captioner(server), CaptionAudit()
    )
    assert count_results(run, "CaptionAudit") == {"done": 2, "rejected: audit: hedging": 2}
    lenient = CaptionAudit(rules=("toy",))
    run = run_captions(tmp_path, ClipSource(2, tmp_path), captioner(server), lenient)
    assert count_results(run, "CaptionAudit") == {"done": 2}
    assert len(server.requests) == 4


def test_what_is_no_caption_passes_to_the_filter(server: CaptionServer, tmp_path: Path) -> None:
    server.script = lambda request: answer("no_movement")
    stage = captioner(server)
    run = run_captions(
        tmp_path, ClipSource(1, tmp_path), stage, CaptionAudit(stage), RefusalFilter()
    )
    assert count_results(run, "RefusalFilter") == {"rejected: no_movement": 1}
    assert len(server.requests) == 1


def test_rates_are_of_every_caption_that_was_seen(server: CaptionServer, tmp_path: Path) -> None:
    server.script = injected
    stage = captioner(server)
    run = audited(tmp_path, 40, stage)
    rates = audit_rates(tmp_path)
    assert rates is not None
    corrections = sum(a.is_revision for a in server.requests)
    assert (rates.captions, rates.asked_again) == (80, corrections)
    assert rates.captions - rates.rejected == len(run.finished)
    assert sum(rule.first for rule in rates.rules) == corrections
    assert audit_rates_of_nothing(tmp_path) is None


def audit_rates_of_nothing(work: Path) -> object:
    run_captions(work / "none", ClipSource(1, work / "none"))
    return audit_rates(work / "none")


def test_verdicts_of_an_older_lint_are_renewed_where_they_are_free(tmp_path: Path) -> None:
    item = replace(clip(0, tmp_path), caption=Caption(text="The video showcases a man."))
    free, paying = CaptionAudit(), CaptionAudit(GPT4oCaptioner())
    assert [type(r) for r in free.apply(item, {"broke": []})] == [Rejected]
    assert [r.scores["reasked"] for r in paying.apply(item, {"broke": []})] == [0.0]
