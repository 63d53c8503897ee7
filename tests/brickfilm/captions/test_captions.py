"""Captions from a service: requests, answers, errors and cost."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brickfilm.captions.backends.openai.retry import parse_duration, retry_after_seconds
from brickfilm.captions.pricing import price_list
from brickfilm.captions.stills import encode_jpeg
from brickfilm.engine.ledger import spend_frame
from brickfilm.errors import MissingApiKey, ServiceRefused
from brickfilm.stages import GPT4oCaptioner, RefusalFilter
from tests.kit.captions import (
    AddImages,
    ClipSource,
    clip,
    count_results,
    image,
    picture,
    run_captions,
    still,
    worst_case_cost,
)
from tests.kit.servers.openai import (
    BROKEN,
    MALFORMED,
    RATE_LIMITED,
    CaptionServer,
    ErrorReply,
    LostReply,
    ModelReply,
    ReceivedRequest,
    Reply,
    answer,
    described,
    digest_of_stills,
)

KEY = "sk-not-a-real-key-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def server() -> Iterator[CaptionServer]:
    with CaptionServer(key=KEY) as running:
        yield running


def captioner(server: CaptionServer, **settings: Any) -> GPT4oCaptioner:
    return GPT4oCaptioner(base_url=server.url, **{"timeout": 5.0, "total_timeout": 10.0} | settings)


def replies_first(*replies: Reply) -> Any:
    """Script these replies, then good captions."""
    left = list(replies)
    return lambda request: left.pop(0) if left else described(request)


# -- requests -----------------------------------------------------------------------------------


def test_a_clip_is_three_stills_in_order_and_an_image_is_one(
    server: CaptionServer, tmp_path: Path
) -> None:
    run_captions(tmp_path, ClipSource(1, tmp_path), AddImages(), captioner(server))
    assert server.invalid == []
    of_image, of_clip = sorted(server.requests, key=lambda a: len(a.stills))
    of_item = clip(0, tmp_path)
    sent = [encode_jpeg(tmp_path / s.path, size=512, quality=85) for s in of_item.stills]
    assert of_clip.stills == sent
    assert of_image.stills == [sent[1]]
    assert "3 stills" in of_clip.text and "20 %, 50 % and 80 %" in of_clip.text
    assert "%" not in of_image.text
    statuses = of_image.body["response_format"]["json_schema"]["schema"]["properties"]["status"]
    assert statuses["enum"] == ["described", "not_enough_information"]


def test_the_percentages_are_those_of_the_stills(tmp_path: Path) -> None:
    caption_request = GPT4oCaptioner().request(clip(0, tmp_path, at=(0.1, 0.625)))
    assert "2 stills" in caption_request.system_prompt
    assert "10 % and 62.5 %" in caption_request.system_prompt
    assert caption_request.user_text == "The stills, at 10 % and 62.5 %:"


def test_every_caption_belongs_to_its_stills(server: CaptionServer, tmp_path: Path) -> None:
    run = run_captions(tmp_path, ClipSource(40, tmp_path), AddImages(), captioner(server))
    assert len(run.finished) == 80
    for item in run.finished:
        stills = item.stills if hasattr(item, "stills") else [item]
        digest = digest_of_stills(
            [encode_jpeg(tmp_path / s.path, size=512, quality=85) for s in stills]
        )
        assert f"house {digest} " in item.caption.text


def test_settings_reach_the_request(server: CaptionServer, tmp_path: Path) -> None:
    stage = captioner(
        server, model="o9", reasoning_effort="low", max_tokens=900, detail="low", temperature=0.5
    )
    run_captions(tmp_path, ClipSource(1, tmp_path), stage)
    body = server.requests[0].body
    assert body["model"] == "o9"
    assert body["reasoning_effort"] == "low"
    assert body["max_completion_tokens"] == 900
    assert body["temperature"] == 0.5
    assert body["messages"][1]["content"][1]["image_url"]["detail"] == "low"


def test_stills_are_shrunk_on_our_side(tmp_path: Path) -> None:
    import PIL.Image

    path = tmp_path / "big.jpg"
    PIL.Image.effect_noise((1280, 720), 60).save(path, quality=95)
    small = encode_jpeg(path, size=512, quality=85)
    assert len(small) < path.stat().st_size / 4
    (tmp_path / "small.jpg").write_bytes(small)
    with PIL.Image.open(tmp_path / "small.jpg") as still:
        assert still.size == (512, 288)
    gpt4o = price_list().price_of("gpt-4o")
    assert gpt4o is not None
    assert (gpt4o.image_tokens(1280, 720), gpt4o.image_tokens(512, 288)) == (1105, 255)


# -- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (answer("not_enough_information"), "not_enough_information"),
        (answer("single_image"), "single_image"),
        (answer("no_movement"), "no_movement"),
        (answer("no_movement", "A man stands."), "no_movement"),
        (ModelReply(None, refusal="I can't help with that."), "refusal"),
        (ModelReply(None, finish="content_filter"), "content_filter"),
        (ModelReply('{"status": "described", "caption": "A man', finish="length"), "truncated"),
        (ErrorReply(400, "content_policy_violation"), "content_filter"),
        (answer("described", "I'm sorry, but I can't describe these."), "refusal"),
    ],
)
def test_what_is_no_caption_is_counted_and_never_text(
    server: CaptionServer, tmp_path: Path, reply: Reply, status: str
) -> None:
    server.script = lambda request: reply
    stage = captioner(server)
    for _ in range(2):  # the answer is stored
        run = run_captions(tmp_path, ClipSource(1, tmp_path), stage, RefusalFilter())
        assert run.finished == []
        assert count_results(run, "RefusalFilter") == {f"rejected: {status}": 1}
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        MALFORMED,
        ModelReply("A red car."),
        ModelReply(None),
        ModelReply("{}", choices=0),
        answer("described", ""),
        answer("bored", "x"),
        ModelReply('["described"]'),
    ],
)
def test_a_malformed_reply_is_paid_and_requested_again(
    server: CaptionServer, tmp_path: Path, reply: Reply
) -> None:
    server.script = replies_first(reply)
    run = run_captions(tmp_path, ClipSource(1, tmp_path), captioner(server))
    assert len(run.finished) == 1
    assert len(server.requests) == 2
    spend = spend_frame(tmp_path)
    assert spend.settled.sum() == pytest.approx(server.bill)
    assert spend.unsettled.sum() == 0


def test_malformed_for_ever_fails_after_three_paid_answers(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = lambda request: MALFORMED
    run = run_captions(tmp_path, ClipSource(1, tmp_path), captioner(server))
    assert count_results(run, "GPT4oCaptioner") == {"failed: malformed answer": 1}
    assert len(server.requests) == 3
    assert spend_frame(tmp_path).settled.sum() == pytest.approx(server.bill)


# -- retries -----------------------------------------------------------------------------------


def test_busy_and_broken_services_are_retried_after_the_named_delay(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = replies_first(RATE_LIMITED, BROKEN, RATE_LIMITED)
    run = run_captions(tmp_path, ClipSource(1, tmp_path), captioner(server))
    assert len(run.finished) == 1
    assert len(server.requests) == 4
    assert spend_frame(tmp_path).settled.sum() == pytest.approx(server.bill)


def test_a_service_that_stays_busy_fails_after_total_timeout(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = lambda request: RATE_LIMITED
    run = run_captions(tmp_path, ClipSource(1, tmp_path), captioner(server, total_timeout=0.5))
    assert count_results(run, "GPT4oCaptioner") == {"failed: busy": 1}
    assert spend_frame(tmp_path).settled.sum() == 0


def test_a_lost_reply_may_be_charged_and_stays_reserved(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = replies_first(LostReply())
    stage = captioner(server)
    run = run_captions(tmp_path, ClipSource(1, tmp_path), stage)
    assert len(run.finished) == 1
    spend = spend_frame(tmp_path)
    assert spend.settled.sum() < server.bill <= spend.settled.sum() + spend.unsettled.sum()
    assert spend.unsettled.sum() == pytest.approx(worst_case_cost(stage, clip(0, tmp_path)))


def test_headers_say_how_long_to_wait() -> None:
    assert retry_after_seconds({"retry-after": "2.5"}) == 2.5
    assert retry_after_seconds({"retry-after-ms": "40", "retry-after": "9"}) == 0.04
    assert retry_after_seconds({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}) == 0
    assert (
        retry_after_seconds(
            {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}
        )
        == 360
    )
    assert (
        retry_after_seconds(
            {"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "6m0s"}
        )
        is None
    )
    assert retry_after_seconds({"retry-after": "soon"}) is None
    assert parse_duration("1h2m3.5s") == 3723.5
    assert parse_duration("20ms") == 0.02
    assert parse_duration("later") is None


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (ErrorReply(429, "insufficient_quota"), "quota is used up"),
        (ErrorReply(403, None, "region"), "rejects the API key in OPENAI_API_KEY"),
        (ErrorReply(404, "model_not_found", "retired"), "model='gpt-4o', or has retired it"),
        (ErrorReply(400, "model_decommissioned", "gone"), "model='gpt-4o', or has retired it"),
    ],
)
def test_a_service_that_refuses_everything_stops_the_build(
    server: CaptionServer, tmp_path: Path, reply: Reply, message: str
) -> None:
    server.script = lambda request: reply
    with pytest.raises(ServiceRefused, match=message):
        run_captions(tmp_path, ClipSource(30, tmp_path), captioner(server, concurrency=2))
    assert len(server.requests) <= 4
    assert spend_frame(tmp_path).settled.sum() == 0


# -- keys ----------------------------------------------------------------------------------------


def test_without_a_key_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(MissingApiKey, match="OPENAI_API_KEY"):
        run_captions(tmp_path, ClipSource(1, tmp_path), GPT4oCaptioner())


def test_a_wrong_key_appears_nowhere(
    server: CaptionServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = "sk-wrong-but-still-secret-42"
    monkeypatch.setenv("OPENAI_API_KEY", wrong)
    caplog.set_level(logging.DEBUG)
    stage = captioner(server)
    with pytest.raises(ServiceRefused) as refused:
        run_captions(tmp_path, ClipSource(2, tmp_path), stage)
    assert "[key]" in str(refused.value)
    kept = b"".join(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())
    for text in (
        "".join(traceback.format_exception(refused.value)),
        str(refused.value),
        repr(stage),
        caplog.text,
    ):
        assert wrong not in text
    assert wrong.encode() not in kept


def test_a_key_that_works_is_in_no_file_log_or_process_list(
    server: CaptionServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script = replies_first(RATE_LIMITED, MALFORMED)
    run_captions(tmp_path, ClipSource(3, tmp_path), AddImages(), captioner(server), RefusalFilter())
    kept = b"".join(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())
    assert KEY.encode() not in kept
    assert KEY not in caplog.text
    commands = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
    assert KEY.encode() not in b"".join(commands)


# -- other servers -------------------------------------------------------------------------------


def test_servers_without_schemas_get_an_older_dialect_and_a_warning(
    server: CaptionServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def old(request: ReceivedRequest) -> Reply:
        shape = request.body.get("response_format", {"type": "text"})["type"]
        if shape != "text":
            return ErrorReply(400, None, f"response_format {shape} is not supported")
        if "max_completion_tokens" in request.body:
            return ErrorReply(400, None, "unknown field max_completion_tokens")
        reply = described(request)
        assert isinstance(reply, ModelReply)
        return ModelReply(f"```json\n{reply.content}\n```")

    server.script = old
    run = run_captions(tmp_path, ClipSource(4, tmp_path), captioner(server, concurrency=4))
    assert len(run.finished) == 4
    last = server.requests[-1]
    assert last.body["max_tokens"] == 400
    assert "Answer with JSON alone" in last.text
    learned = [line for line in caplog.messages if "; using" in line]
    assert [line.partition("support ")[2] for line in learned] == [
        "response_format json_schema; using json_object",
        "response_format json_object; using text",
        "max_completion_tokens; using max_tokens",
    ]
    assert spend_frame(tmp_path).settled.sum() == pytest.approx(server.bill)


def test_a_request_that_a_server_cannot_use_fails_alone(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = replies_first(ErrorReply(400, None, "image too small"))
    run = run_captions(tmp_path, ClipSource(3, tmp_path), captioner(server))
    assert count_results(run, "GPT4oCaptioner") == {"failed: bad request": 1, "done": 2}


def test_a_damaged_still_is_sent_to_nobody_and_written_anew(
    server: CaptionServer, tmp_path: Path
) -> None:
    damaged = tmp_path / still(5, 0.5, tmp_path).path
    damaged.write_bytes(picture(99))  # a good picture, but another one
    run = run_captions(tmp_path, ClipSource(3, tmp_path), captioner(server))
    assert count_results(run, "GPT4oCaptioner") == {"failed: damaged file": 1, "done": 2}
    (message,) = [o.message for o in run.item_results if o.status == "failed"]
    assert message.endswith(
        "5.jpg was damaged, and is deleted: run the build again, which writes it anew"
    )
    assert len(server.requests) == 2
    assert spend_frame(tmp_path).unsettled.sum() == 0
    assert not damaged.exists()
    again = run_captions(tmp_path, ClipSource(3, tmp_path), captioner(server))
    assert count_results(again, "GPT4oCaptioner") == {"done": 3}
    assert len(server.requests) == 3


def test_a_server_that_is_not_there_is_named_at_once_and_fails_the_items(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with CaptionServer() as gone:
        pass
    run = run_captions(tmp_path, ClipSource(2, tmp_path), captioner(gone, total_timeout=0.8))
    assert count_results(run, "GPT4oCaptioner") == {"failed: busy": 2}
    (told,) = [record.message for record in caplog.records]
    assert re.fullmatch(r"127\.0\.0\.1 cannot be reached: .*; trying for 0\.8 s", told)
    assert spend_frame(tmp_path).unsettled.sum() == 0


# -- cost ---------------------------------------------------------------------------------------


def test_a_budget_is_hard_and_what_was_paid_for_is_kept(
    server: CaptionServer, tmp_path: Path
) -> None:
    one = worst_case_cost(captioner(server), clip(0, tmp_path))
    budget = 10 * one
    run = run_captions(
        tmp_path, ClipSource(60, tmp_path), captioner(server, max_cost_usd=budget, concurrency=4)
    )
    done = count_results(run, "GPT4oCaptioner")["done"]
    assert 0 < server.bill <= budget
    assert len(run.finished) == done == len(server.requests)
    assert count_results(run, "GPT4oCaptioner")["waiting: budget"] == 60 - done
    again = run_captions(tmp_path, ClipSource(60, tmp_path), captioner(server, max_cost_usd=5.0))
    assert len(again.finished) == len(server.requests) == 60


def test_prompt_model_and_stills_make_the_key_and_nothing_else_does(
    server: CaptionServer, tmp_path: Path
) -> None:
    def requests(**settings: Any) -> int:
        before = len(server.requests)
        run_captions(tmp_path, ClipSource(2, tmp_path), AddImages(), captioner(server, **settings))
        return len(server.requests) - before

    assert requests() == 4
    assert requests(timeout=9.0, concurrency=2, max_cost_usd=9.0, total_timeout=3.0) == 0
    assert requests(model="gpt-4.1") == 4
    assert requests(image_size=256) == 4
    assert requests(image_prompt="general") == 2
    assert requests(prompt="general") == 2  # the images' answers are stored
    own = tmp_path / "own.md"
    own.write_text("---\nname: own\nversion: 1\nfor: clips\n---\nSay {{ count }} things.\n")
    assert requests(prompt=str(own), image_prompt="bricks") == 2
    moved = own.rename(tmp_path / "moved.md")
    assert requests(prompt=str(moved), image_prompt="bricks") == 0
    moved.write_text(moved.read_text().replace("things", "words"))
    assert requests(prompt=str(moved), image_prompt="bricks") == 2


def test_importing_brickfilm_imports_no_client() -> None:
    code = "import brickfilm, sys; brickfilm.GPT4oCaptioner(); sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_middle_image_and_its_clip_have_keys_of_their_own(tmp_path: Path) -> None:
    stage, of_clip = GPT4oCaptioner(), clip(0, tmp_path)
    assert stage.key(stage.request(of_clip)) != stage.key(stage.request(image(of_clip)))
