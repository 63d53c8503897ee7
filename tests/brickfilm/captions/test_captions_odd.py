"""Odd answers of a server: what can be read is a caption, the rest fails one item, none a build."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from brickfilm.captions.json_reply import is_prose, last_object
from brickfilm.captions.stills import encode_jpeg
from brickfilm.engine.ledger import spend_frame
from brickfilm.engine.pipeline import Pipeline
from brickfilm.errors import ServiceRefused, UsageError
from brickfilm.stages import Captioner
from tests.kit.captions import ClipSource, clip, count_results, run_captions
from tests.kit.servers.openai import (
    CaptionServer,
    ErrorReply,
    ModelReply,
    RawReply,
    ReceivedRequest,
    Reply,
    Script,
    described,
    digest_of_stills,
)

CAPTION = "A small figure walks along a street and waves."
GOOD = json.dumps({"status": "described", "caption": CAPTION})
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def captioner(server: CaptionServer, **settings: Any) -> Captioner:
    defaults = {"model": "gpt-4o", "base_url": server.url, "timeout": 5.0, "total_timeout": 10.0}
    return Captioner(**defaults | settings)


def completion(content: Any, usage: Any = USAGE, **message: Any) -> RawReply:
    """Return a completion of any content and usage, as bytes."""
    choice = {"finish_reason": "stop", "message": {"content": content, **message}}
    body = {"model": "gpt-4o", "choices": [choice], "usage": usage}
    return RawReply(json.dumps(body).encode())


def each(replies: Sequence[Reply], work: Path) -> Script:
    """Script the n-th reply for clip n, every time, and a good one for the clips after them."""
    stills = [clip(n, work).stills for n in range(len(replies))]
    sent = [[encode_jpeg(work / s.path, size=512, quality=85) for s in of] for of in stills]
    scripted = {digest_of_stills(jpegs): reply for jpegs, reply in zip(sent, replies, strict=True)}
    return lambda request: scripted.get(request.digest) or described(request)


def refuse(when: Callable[[ReceivedRequest], bool], error: RawReply) -> Script:
    """Script an error for the requests that a server does not understand."""
    return lambda request: error if when(request) else described(request)


def error(status: int, body: Any) -> RawReply:
    return RawReply(json.dumps(body).encode(), status=status)


# -- replies that are read ------------------------------------------------------------------------


ACCEPTED = (
    completion(f"```json {GOOD} ```"),
    completion(f"Sure! Here it is:\n```json\n{GOOD}\n```\nHope it helps."),
    completion(f'<think>{{"status": "described", "caption": "no"}}</think>{GOOD}'),
    completion(f'it says {{JSON}}: {{"status": "no_movement"}}\n{GOOD}'),
    completion(GOOD.replace("described", "Described")),
    completion(GOOD[:-1] + ', "confidence": 0.3}'),
    completion([{"type": "text", "text": GOOD[:20]}, {"type": "text", "text": GOOD[20:]}]),
    completion(None, reasoning_content=GOOD),
    completion(GOOD.replace("waves.", "waves.\\u0000\\u0007 \\ud83d")),
    completion(GOOD.replace("walks along", "walks\nalong")),
    completion(json.dumps(GOOD)),
)


def test_a_reply_in_another_form_is_a_caption(server: CaptionServer, tmp_path: Path) -> None:
    server.script = each(ACCEPTED, tmp_path)
    run = run_captions(tmp_path, ClipSource(len(ACCEPTED), tmp_path), captioner(server))
    captions = {item.id: item.caption.text for item in run.finished}
    assert captions == {clip(n, tmp_path).id: CAPTION for n in range(len(ACCEPTED))}
    assert len(server.requests) == len(ACCEPTED)


def test_a_status_that_needs_no_caption_may_come_without_one(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = lambda request: completion('{"status": "No movement"}')
    run = run_captions(tmp_path, ClipSource(1, tmp_path), captioner(server))
    assert [item.caption.status for item in run.finished] == ["no_movement"]


def test_after_prose_the_question_is_put_in_words(server: CaptionServer, tmp_path: Path) -> None:
    server.script = lambda request: (
        completion(GOOD) if "Answer with JSON alone" in request.text else completion(CAPTION)
    )
    run = run_captions(tmp_path, ClipSource(5, tmp_path), captioner(server, concurrency=1))
    assert [item.caption.text for item in run.finished] == [CAPTION] * 5
    assert len(server.requests) == 6  # the first one twice, and the lesson is kept


@pytest.mark.parametrize("json_mode", ["auto", "text"])
def test_prose_of_a_server_without_json_is_the_caption_and_marked(
    server: CaptionServer, tmp_path: Path, json_mode: Any
) -> None:
    server.script = lambda request: completion(f"<think>Hm.</think>{CAPTION}\n")
    stage = captioner(server, concurrency=1, json_mode=json_mode)
    run = run_captions(tmp_path, ClipSource(3, tmp_path), stage)
    assert [(c.caption.text, c.scores["prose_reply"]) for c in run.finished] == [(CAPTION, 1)] * 3
    assert len(server.requests) == (4 if json_mode == "auto" else 3)


def test_prose_of_a_server_that_knows_json_is_a_failure(
    server: CaptionServer, tmp_path: Path
) -> None:
    replies = iter([completion(GOOD), *[completion("I would rather talk.")] * 3])
    server.script = lambda request: next(replies)
    run = run_captions(tmp_path, ClipSource(2, tmp_path), captioner(server, concurrency=1))
    assert count_results(run, "Captioner") == {"done": 1, "failed: malformed answer": 1}


@pytest.mark.parametrize("text", ['{"a":' * 100_000, "{" * 200_000, '{"' * 100_000])
def test_a_reply_without_end_is_read_in_linear_time(text: str) -> None:
    begun = time.process_time()
    assert last_object(text, key="status") is None
    assert time.process_time() - begun < 2  # 20 s when every brace was tried


@pytest.mark.parametrize("text", ["[" * 9, "...", "{'status': 'described'}", "{status: 1}", "{}"])
def test_what_holds_no_words_or_tries_json_is_no_prose(text: str) -> None:
    assert not is_prose(text)


@pytest.mark.parametrize("text", [CAPTION, f'"{CAPTION}"', "रजल", "Hm {smiles}.", "一人走"])
def test_words_in_any_script_are_prose(text: str) -> None:
    assert is_prose(text)


# -- replies that are not -------------------------------------------------------------------------


UNUSABLE = (
    RawReply(b"<html>Sign in to the network</html>", "text/html"),
    RawReply(b""),
    RawReply(b'{"choices": ['),
    RawReply(b"null"),
    RawReply(b'"text"'),
    RawReply(b"[" * 5000),
    RawReply(b'data: {"choices": []}\n\ndata: [DONE]\n\n', "text/event-stream"),
    RawReply(json.dumps({"choices": [{"message": None}], "usage": 3}).encode()),
    RawReply(json.dumps({"choices": {"0": 1}, "usage": []}).encode()),
    completion(None),
    completion(7),
    completion([7, {"text": 7}]),
    completion('{"status": ["described"], "caption": "x"}'),
    completion('{"status": "described", "caption": ["x"]}'),
    completion('{"status": "described", "caption": "\\u0000"}'),
    completion("<think>I never stop"),
    RawReply(b"x", status=503),
    RawReply(b"\xff\xfe", status=418),
)


def test_an_unusable_reply_fails_its_item_alone(server: CaptionServer, tmp_path: Path) -> None:
    server.script = each(UNUSABLE, tmp_path)
    stage = captioner(server, total_timeout=1.0, max_failures_in_a_row=1000)
    run = run_captions(tmp_path, ClipSource(len(UNUSABLE) + 2, tmp_path), stage)
    good = [clip(len(UNUSABLE) + n, tmp_path).id for n in range(2)]
    assert sorted(item.id for item in run.finished) == sorted(good)
    failed = [result for result in run.item_results if result.status == "failed"]
    assert len(failed) == len(UNUSABLE)
    assert all(0 < len(result.message) < 600 for result in failed)


def test_twenty_failures_of_one_kind_in_a_row_stop_the_requests(
    server: CaptionServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = lambda request: RawReply(b"<html>", "text/html")
    run = run_captions(tmp_path, ClipSource(60, tmp_path), captioner(server, concurrency=4))
    assert count_results(run, "Captioner") == {"failed: unreadable response": 60}
    assert len(server.requests) <= 20 + 2 * 4  # in flight at the first failure and at the last
    assert sum("20 requests in a row failed" in line for line in caplog.messages) == 1
    assert any("json_mode=" in r.message for r in run.item_results)
    server.script = described
    again = run_captions(tmp_path, ClipSource(60, tmp_path), captioner(server, concurrency=4))
    assert len(again.finished) == 60


def test_failures_between_captions_never_stop_them(server: CaptionServer, tmp_path: Path) -> None:
    odd = RawReply(b"null")
    server.script = lambda request: odd if request.number % 3 else described(request)
    run = run_captions(
        tmp_path,
        ClipSource(40, tmp_path),
        captioner(server, concurrency=1, max_failures_in_a_row=3),
    )
    assert count_results(run, "Captioner")["done"] >= 10
    assert len(server.requests) > 60


# -- time -----------------------------------------------------------------------------------------


def test_a_server_that_trickles_is_bounded_by_the_total_timeout(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = lambda request: RawReply(b" " * 4000, pause=0.05)  # in head and body alike
    stage = captioner(server, total_timeout=0.3)
    run = run_captions(tmp_path, ClipSource(1, tmp_path), stage)
    (failed,) = [r for r in run.item_results if r.status == "failed"]
    assert failed.reason == "no answer"
    assert "no whole response in 0.3 s" in failed.message
    assert spend_frame(tmp_path).unsettled.sum() > 0


# -- usage ----------------------------------------------------------------------------------------


ABSURD = (
    None,
    {},
    {"prompt_tokens": None, "completion_tokens": None},
    {"prompt_tokens": -(10**9), "completion_tokens": -5},
    {"prompt_tokens": 10**12, "completion_tokens": 5},
    {"prompt_tokens": "12", "completion_tokens": True},
)


def test_an_absurd_usage_is_booked_at_the_reservation(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = each([completion(GOOD, usage) for usage in ABSURD], tmp_path)
    stage = captioner(server, max_cost_usd=1.0)
    run = run_captions(tmp_path, ClipSource(len(ABSURD), tmp_path), stage)
    assert len(run.finished) == len(ABSURD)
    spend = spend_frame(tmp_path)
    most = stage.worst_case_cost(stage.request(clip(0, tmp_path)))
    assert spend.settled.sum() == pytest.approx(len(ABSURD) * most)
    assert spend.unsettled.sum() == 0


def test_reasoning_outside_the_completion_is_billed(server: CaptionServer, tmp_path: Path) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 420}
    server.script = lambda request: completion(GOOD, usage)
    run = run_captions(tmp_path, ClipSource(1, tmp_path), captioner(server))
    assert run.finished[0].caption.output_tokens == 320


# -- dialects -------------------------------------------------------------------------------------


def _format(request: ReceivedRequest) -> str:
    return str(request.body.get("response_format", {}).get("type"))


@pytest.mark.parametrize(
    "script",
    [
        refuse(
            lambda r: _format(r) == "json_schema",
            error(400, {"error": "response_format.type json_schema is not supported"}),
        ),
        refuse(
            lambda r: _format(r) == "json_schema",
            error(422, {"detail": [{"loc": ["body", "response_format"], "msg": "odd"}]}),
        ),
        refuse(
            lambda r: "temperature" in r.body,
            error(400, {"error": {"message": "Unsupported value", "param": "temperature"}}),
        ),
        refuse(
            lambda r: "reasoning_effort" in r.body,
            error(400, {"message": "unknown field reasoning_effort"}),
        ),
        refuse(
            lambda r: r.body["messages"][0]["role"] == "system",
            error(400, {"error": {"message": "messages[0].role does not support 'system'"}}),
        ),
        refuse(
            lambda r: "max_completion_tokens" in r.body,
            RawReply(b"Unrecognized request argument: max_completion_tokens", status=400),
        ),
    ],
)
def test_what_a_server_refuses_is_learned_once_a_run(
    server: CaptionServer, tmp_path: Path, script: Script
) -> None:
    server.script = script
    stage = captioner(server, concurrency=1, temperature=0.2, reasoning_effort="low")
    run = run_captions(tmp_path, ClipSource(4, tmp_path), stage)
    assert len(run.finished) == 4
    assert len(server.requests) == 5
    prompts = {request.text.partition("You write captions")[1] for request in server.requests}
    assert prompts == {"You write captions"}  # the prompt is never lost on the way


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        error(402, {"error": {"message": "Insufficient credits", "code": 402}}),
        error(429, {"error": {"message": "no", "type": "insufficient_quota"}}),
        error(403, {"error": {"message": "no", "code": "billing_not_active"}}),
    ],
)
def test_an_account_without_credit_stops_the_build(
    server: CaptionServer, tmp_path: Path, reply: Reply
) -> None:
    server.script = lambda request: reply
    with pytest.raises(ServiceRefused, match="add credit"):
        run_captions(tmp_path, ClipSource(30, tmp_path), captioner(server, concurrency=2))
    assert len(server.requests) <= 4


def test_a_model_that_does_not_exist_names_its_like(server: CaptionServer, tmp_path: Path) -> None:
    names = ("gpt-6-luna", "gpt-6-sol", "whisper-1")
    server.models = [{"id": n, "object": "model", "created": 1, "owned_by": "x"} for n in names]
    server.script = lambda request: ErrorReply(404, "model_not_found", "no such model")
    with pytest.raises(ServiceRefused, match=r"model='gpt-6-lune'.*it has gpt-6-luna"):
        run_captions(tmp_path, ClipSource(1, tmp_path), captioner(server, model="gpt-6-lune"))


# -- connections ----------------------------------------------------------------------------------


def checked(tmp_path: Path, **settings: Any) -> None:
    stage = Captioner(**{"model": "m"} | settings)
    Pipeline.from_stages(ClipSource(1, tmp_path), [stage]).check()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "localhost:8000/v1"}, "is no address: write it as http://localhost"),
        ({"base_url": "http://[::1/v1"}, "is no address"),
        ({"base_url": "https://me:hunter2@host/v1"}, "holds a user name or password"),
        ({"proxy": "foo://me:hunter2@host:1"}, "the proxy .* is no address"),
        ({"proxy": "http://me:hunter2@host:many"}, "the proxy .* is no address"),
    ],
)
def test_an_address_that_cannot_work_is_said_before_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], message: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with pytest.raises(UsageError, match=message) as refused:
        checked(tmp_path, **settings)
    assert "hunter2" not in str(refused.value)


def test_a_socks_proxy_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    with pytest.raises(UsageError, match="pip install socksio"):
        checked(tmp_path, proxy="socks5://localhost:1080")


@pytest.mark.parametrize("key", ["sk-abc\ndef-0123456789", "sk-“quoted”-0123456789"])
def test_a_key_with_odd_characters_is_said_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UsageError, match="OPENAI_API_KEY has characters that no key has") as error:
        checked(tmp_path)
    assert key not in str(error.value)


def test_a_line_break_after_a_key_is_no_part_of_it(
    server: CaptionServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789\n")
    server.key = "sk-0123456789"
    assert len(run_captions(tmp_path, ClipSource(1, tmp_path), captioner(server)).finished) == 1


def test_a_server_without_encryption_is_no_https(server: CaptionServer, tmp_path: Path) -> None:
    address = server.url.replace("http://", "https://")
    with pytest.raises(ServiceRefused, match=r"no secure connection to 127\.0\.0\.1"):
        run_captions(tmp_path, ClipSource(1, tmp_path), captioner(server, base_url=address))


def test_a_proxy_that_refuses_is_named_without_its_password(
    server: CaptionServer, tmp_path: Path
) -> None:
    proxy = server.url.replace("http://", "http://me:hunter2@").removesuffix("/v1")
    stage = captioner(server, base_url="https://models.invalid/v1", proxy=proxy)
    with pytest.raises(ServiceRefused, match=r"the proxy 127\.0\.0\.1 refuses to") as refused:
        run_captions(tmp_path, ClipSource(1, tmp_path), stage)
    kept = b"".join(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())
    assert "hunter2" not in f"{refused.value}{stage!r}"
    assert b"hunter2" not in kept


def test_a_redirect_in_a_circle_fails_one_item(server: CaptionServer, tmp_path: Path) -> None:
    circle = ErrorReply(307, headers={"location": f"{server.url}/chat/completions"})
    replies: list[Reply] = [circle] * 30
    server.script = lambda request: replies.pop() if replies else ModelReply(GOOD)
    run = run_captions(tmp_path, ClipSource(3, tmp_path), captioner(server, concurrency=1))
    assert count_results(run, "Captioner") == {"failed: bad response": 1, "done": 2}
