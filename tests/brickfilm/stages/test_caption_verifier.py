"""CaptionVerifier: claims, verdicts, scores, second captions, money."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brickfilm import Captioner, CaptionVerifier, FrameSampler, Keep
from brickfilm.captions.claims import MAX_CLAIMS, split_claims
from brickfilm.captions.verification import support
from brickfilm.engine.ledger import CaptionEdit, Ledger, save_edits, spend_frame
from brickfilm.engine.run import PipelineRun
from brickfilm.records import Caption, Clip
from tests.kit.captions import ClipSource, WithCheckStills, clip, count_results, run_captions
from tests.kit.servers.openai import (
    CaptionServer,
    ErrorReply,
    ModelReply,
    ReceivedRequest,
    Reply,
    answer,
    input_tokens,
)

SAID = "A red car stops at a gate. A dog runs past, while a man waves."
CLAIMS = ["A red car stops at a gate", "A dog runs past", "a man waves"]


def is_check(request: ReceivedRequest) -> bool:
    return "You check statements" in request.text


def claims_of(request: ReceivedRequest) -> list[str]:
    lines = request.body["messages"][0]["content"].split("\n\n")[1].splitlines()
    return [line.split(". ", 1)[1] for line in lines]


def verdicts(*said: str) -> ModelReply:
    return ModelReply(json.dumps({"verdicts": said}))


def judged(judge: Callable[[str], str]) -> Callable[[ReceivedRequest], Reply]:
    """Caption with SAID, and answer each claim with `judge`."""

    def script(request: ReceivedRequest) -> Reply:
        if is_check(request):
            return verdicts(*map(judge, claims_of(request)))
        return answer("described", SAID)

    return script


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with CaptionServer() as running:
        running.script = judged(lambda claim: "yes")
        yield running


def asks(server: CaptionServer, **settings: Any) -> Captioner:
    return Captioner(model="gpt-4o", base_url=server.url, **settings)


def verifier(server: CaptionServer, **settings: Any) -> CaptionVerifier:
    return CaptionVerifier(model="gpt-4o", base_url=server.url, **settings)


def run(work: Path, count: int, *stages: Any) -> PipelineRun:
    return run_captions(work, ClipSource(count, work), WithCheckStills(str(work)), *stages)


def test_claims_are_things_and_clauses() -> None:
    assert split_claims(Caption(text=SAID)) == tuple(CLAIMS)
    aspects = {
        "subjects": "A man in a red coat, two dogs and a cat with a bell.",
        "action": "The man walks, while the dogs bark; the cat sleeps.",
        "text_on_screen": "“Stop, thief”.",
        "short": "A man walks.",
    }
    assert split_claims(Caption(text="x", aspects=aspects)) == (
        "subjects: A man in a red coat",
        "subjects: two dogs",
        "subjects: a cat with a bell",
        "action: The man walks",
        "action: the dogs bark",
        "action: the cat sleeps",
        "text on screen: “Stop, thief”",
    )
    assert len(split_claims(Caption(text="A dog runs. " * 3 + "It sits. " * 99))) == MAX_CLAIMS


def test_claims_are_asked_of_other_frames_and_scored(server: CaptionServer, tmp_path: Path) -> None:
    answers = {CLAIMS[0]: "yes", CLAIMS[1]: "no", CLAIMS[2]: "unclear"}
    server.script = judged(answers.__getitem__)
    done = run(tmp_path, 1, asks(server), verifier(server), Keep("caption_support", at_least=0.5))
    (item,) = done.finished
    assert (item.scores["caption_support"], item.scores["claims_unclear"]) == (0.5, 1 / 3)
    first, second = server.requests
    assert claims_of(second) == CLAIMS
    assert len(second.stills) == 2 and not set(first.stills) & set(second.stills)
    spent = spend_frame(tmp_path)
    assert spent.settled.sum() == pytest.approx(server.bill)
    again = run(tmp_path, 1, asks(server), verifier(server), Keep("caption_support", at_least=0.6))
    assert len(server.requests) == 2 and again.finished == []
    assert support(["unclear"]) == 1.0


def contradict_dogs(request: ReceivedRequest) -> Reply:
    """Find no dog; a second caption is without one."""
    if is_check(request):
        return verdicts(*("no" if "dog" in claim else "yes" for claim in claims_of(request)))
    return answer("described", "A red car stops at a gate." if request.is_revision else SAID)


def test_a_contradicted_caption_is_asked_for_again_and_checked(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = contradict_dogs
    captioner = asks(server)
    done = run(tmp_path, 1, captioner, verifier(server, captioner=captioner))
    (item,) = done.finished
    assert item.caption.text == "A red car stops at a gate."
    assert item.scores["caption_support"] == 1.0
    assert [is_check(request) for request in server.requests] == [False, True, False, True]
    assert "- A dog runs past\n" in server.requests[2].text
    assert spend_frame(tmp_path).settled.sum() == pytest.approx(server.bill)
    run(tmp_path, 1, captioner, verifier(server, captioner=captioner))
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "reply",
    [
        verdicts("yes", "yes"),
        verdicts("yes", "perhaps", "no"),
        ModelReply('{"verdicts": "yes"}'),
        ModelReply("Yes to all."),
    ],
)
def test_odd_verdicts_fail_the_item_and_are_paid(
    server: CaptionServer, tmp_path: Path, reply: Reply
) -> None:
    server.script = lambda request: reply if is_check(request) else answer("described", SAID)
    done = run(tmp_path, 1, asks(server), verifier(server))
    assert count_results(done, "CaptionVerifier") == {"failed: malformed answer": 1}
    assert spend_frame(tmp_path).settled.sum() == pytest.approx(server.bill)


def test_the_budget_is_shared_and_never_exceeded(server: CaptionServer, tmp_path: Path) -> None:
    captioner = asks(server, max_cost_usd=0.02)
    stage = verifier(server, captioner=captioner, max_cost_usd=0.02, concurrency=1)
    server.script = judged(lambda claim: "no")
    done = run(tmp_path, 12, captioner, stage)
    waiting = sum(o.reason == "budget" for o in done.item_results)
    assert waiting and server.bill <= 0.02
    with Ledger(tmp_path) as ledger:
        assert sum(ledger.spent(name) for name in stage.budget_group) <= 0.02


def test_what_people_wrote_is_not_checked(server: CaptionServer, tmp_path: Path) -> None:
    Ledger(tmp_path).__exit__(None, None, None)
    item = clip(0, tmp_path)
    save_edits(tmp_path, [CaptionEdit(item=item.id, caption="A cat sleeps.")])
    (item,) = run(tmp_path, 1, asks(server), verifier(server)).finished
    assert item.scores["caption_support"] == 1.0 and server.requests == []


def test_an_error_of_the_service_is_told(server: CaptionServer, tmp_path: Path) -> None:
    server.script = lambda request: (
        ErrorReply(400, "bad_request") if is_check(request) else answer("described", SAID)
    )
    done = run(tmp_path, 1, asks(server), verifier(server))
    assert [o.status for o in done.item_results if o.stage == "CaptionVerifier"] == ["failed"]


def test_check_frames_show_other_poses() -> None:
    item = replace(clip(0, Path("/nonexistent"), at=()), unique_frames=(0, 8, 16, 24, 32))
    sampler = FrameSampler(check_at=(0.1, 0.5, 0.9))  # the captioner sees poses 8, 16 and 24
    assert sampler.frames(item) == [8, 20, 31]
    assert sampler.check_frames(item) == [0, 32]
    held = replace(item, unique_frames=(0,))  # one pose: other frames at least
    assert not set(sampler.check_frames(held)) & set(sampler.frames(held))
    assert FrameSampler().check_frames(item) == []
    (out, *_) = sampler.simulate(item)
    assert isinstance(out, Clip) and [s.frame for s in out.check_stills] == [0, 32]
    assert sampler.key(item) != sampler.key(held) and FrameSampler().key(item) == item.id


def test_the_forecast_names_the_requests(server: CaptionServer, tmp_path: Path) -> None:
    stage = verifier(server)
    items = [
        replace(c, caption=Caption(text=SAID), check_stills=c.stills[:2])
        for c in (clip(n, tmp_path) for n in range(3))
    ]
    told = stage.forecast(items, tmp_path)
    assert "3 clips and 0 images: 3 requests to gpt-4o" in told and "at most $" in told
    (simulated,) = asks(server).simulate(items[0])
    assert len(stage.request(simulated).claims) >= 4


def test_a_token_limit_holds_for_checks_and_second_captions(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script, limit = contradict_dogs, 60_000
    unpriced = {"model": "my-llava", "base_url": server.url, "max_tokens_total": limit}
    captioner = Captioner(**unpriced, concurrency=1)
    stages = captioner, CaptionVerifier(**unpriced, captioner=captioner, concurrency=2)
    for _ in range(2):
        done = run(tmp_path, 40, *stages)
        spent = spend_frame(tmp_path)
        charged = sum(input_tokens(r) + ModelReply("").output_tokens for r in server.requests)
        assert charged == spent.input_tokens.sum() + spent.output_tokens.sum() <= limit
        assert len(done.finished) > 0
    waiting = count_results(done, "Captioner") + count_results(done, "CaptionVerifier")
    assert waiting["waiting: budget"] > 0


def test_a_check_is_booked_even_if_no_second_caption_comes(
    server: CaptionServer, tmp_path: Path
) -> None:
    def script(request: ReceivedRequest) -> Reply:
        if is_check(request):
            return verdicts(*["no"] * len(claims_of(request)))
        return ErrorReply(400, None, "bad") if request.is_revision else answer("described", SAID)

    server.script = script
    captioner = asks(server)
    done = run(tmp_path, 2, captioner, verifier(server, captioner=captioner))
    assert count_results(done, "CaptionVerifier") == {"failed: bad request": 2}
    assert len(server.requests) == 6  # none of them twice
    spent = spend_frame(tmp_path)
    assert (spent.settled.sum(), spent.unsettled.sum()) == (pytest.approx(server.bill), 0)
