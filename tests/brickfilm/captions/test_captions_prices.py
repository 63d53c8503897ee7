"""Prices, dates and limits: what a request is booked at, and what a build is warned of."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from brickfilm.captions import Capabilities
from brickfilm.captions.backends import OpenAIBackend
from brickfilm.captions.pricing import (
    FREE,
    UnknownPrice,
    find_price,
    is_private_address,
    price_list,
    retirement_warning,
)
from brickfilm.engine.ledger import spend_frame
from brickfilm.engine.pipeline import Pipeline
from brickfilm.errors import NoResponse, UsageError
from brickfilm.stages import CaptionAudit, Captioner, GPT4oCaptioner
from tests.kit.captions import ClipSource, clip, count_results, run_captions
from tests.kit.servers.openai import CaptionServer, ErrorReply, ModelReply, RawReply, described
from tests.kit.word_backend import WordBackend


def captioner(server: CaptionServer, **settings: Any) -> Captioner:
    defaults = {"model": "my-llava", "base_url": server.url, "timeout": 5.0, "total_timeout": 10.0}
    return Captioner(**defaults | settings)


# -- prices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://192.168.1.7/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://gpu-box.local:8000/v1", True),
        ("http://8.8.8.8/v1", False),
        ("https://api.openai.com/v1", False),
        ("https://local.example.com/v1", False),
        (None, False),
    ],
)
def test_an_address_of_ones_own_is_private(address: str | None, private: bool) -> None:
    assert is_private_address(address) == private


def test_the_price_is_the_users_then_the_lists_then_zero_at_home() -> None:
    prices, home = price_list(), "http://localhost:8000/v1"
    own = find_price(prices, "gpt-4o", base_url=home, per_million=(1.0, 2.0))
    assert own is not None and (own.input, own.output) == (1.0, 2.0)
    assert find_price(prices, "gpt-4o", base_url=home) == prices.price_of("gpt-4o")
    free = find_price(prices, "my-llava", base_url=home)
    assert free is not None and free.is_zero
    assert find_price(prices, "my-llava", base_url="https://models.example/v1") is None
    with pytest.raises(UsageError, match="give two prices of 0 or more"):
        find_price(prices, "m", per_million=(1.0, float("nan")))


def test_a_server_of_ones_own_is_booked_at_zero_under_a_budget(
    server: CaptionServer, tmp_path: Path
) -> None:
    run = run_captions(tmp_path, ClipSource(3, tmp_path), captioner(server, max_cost_usd=0.01))
    assert [item.caption.cost for item in run.finished] == [0.0] * 3
    spend = spend_frame(tmp_path)
    assert (spend.requests[0], spend.settled[0], spend.unsettled[0]) == (3, 0, 0)


def test_a_backend_without_prices_is_free() -> None:
    price = Captioner(model="words", backend=WordBackend(), max_cost_usd=1.0).price
    assert price is not None and price.is_zero


def test_an_address_of_the_openai_client_is_not_another_backends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert Captioner(model="my-llava").price == FREE

    class PricedBackend(WordBackend):
        capabilities = Capabilities(json_schema=False, priced=True)

    assert Captioner(model="my-llava", backend=PricedBackend()).price is None


@pytest.mark.parametrize("backend", ["openai", OpenAIBackend, None])
def test_what_is_no_backend_is_named(backend: Any, tmp_path: Path) -> None:
    stage = Captioner(model="words", backend=backend)
    with pytest.raises(UsageError, match=r"backend=.* is no instance of a class like"):
        Pipeline.from_stages(ClipSource(1, tmp_path), [stage]).check()


def test_a_budget_for_an_unknown_price_is_refused_before_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    far = {"model": "my-llava", "base_url": "https://models.example/v1"}

    def check(**settings: Any) -> None:
        stage = Captioner(**far | settings)
        Pipeline.from_stages(ClipSource(1, tmp_path), [stage]).check()

    with pytest.raises(UnknownPrice, match=r"'my-llava'.*price_per_million=.*max_tokens_total="):
        check(max_cost_usd=1.0)
    check(max_cost_usd=1.0, price_per_million=(0.5, 1.5))
    check(max_tokens_total=1_000)
    check()
    with pytest.raises(UsageError, match="cannot limit batch jobs"):
        check(max_tokens_total=1_000, mode="batch")


def test_a_price_per_million_tokens_is_kept_within_its_budget(
    server: CaptionServer, tmp_path: Path
) -> None:
    stage = captioner(server, price_per_million=(1.0, 2.0), max_cost_usd=0.03, concurrency=2)
    run = run_captions(tmp_path, ClipSource(30, tmp_path), stage)
    spend = spend_frame(tmp_path)
    paid = (spend.input_tokens.sum() + 2 * spend.output_tokens.sum()) / 1e6
    assert spend.settled.sum() == pytest.approx(paid)
    assert 0 < paid <= 0.03
    assert count_results(run, "Captioner")["waiting: budget"] > 0


@pytest.mark.slow
def test_a_token_limit_is_hard(server: CaptionServer, tmp_path: Path) -> None:
    limit = 60_000
    stage = captioner(server, max_tokens_total=limit, concurrency=4)
    pipeline = (stage, CaptionAudit(stage, rules=("sentences",)))
    for _ in range(2):
        run = run_captions(tmp_path, ClipSource(60, tmp_path), *pipeline)
        spend = spend_frame(tmp_path)
        assert 0 < spend.input_tokens.sum() + spend.output_tokens.sum() <= limit
        assert count_results(run, "Captioner")["waiting: budget"] > 0
    more = captioner(server, max_tokens_total=10**9)
    assert len(run_captions(tmp_path, ClipSource(60, tmp_path), more).finished) == 60


def test_a_cost_that_the_service_states_is_the_cost(server: CaptionServer, tmp_path: Path) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "cost": 0.00042}
    reply = {"status": "described", "caption": "A car stops."}
    choice = {"finish_reason": "stop", "message": {"content": json.dumps(reply)}}
    body = json.dumps({"choices": [choice], "usage": usage}).encode()
    server.script = lambda request: RawReply(body)
    run = run_captions(tmp_path, ClipSource(1, tmp_path), captioner(server))
    assert run.finished[0].caption.cost == 0.00042


def test_stored_input_is_booked_at_its_own_price() -> None:
    price = price_list().price_of("gpt-6-luna")
    assert price is not None
    assert price.cost(1_000_000, 0) == pytest.approx(0.125)
    assert price.cost(1_000_000, 0, 1_000_000) == pytest.approx(0.01)
    assert price.image_tokens(512, 512) == 308
    assert price.image_tokens(1280, 720) == 1104


def test_every_listed_price_is_a_price() -> None:
    for name, price in price_list().models.items():
        assert 0 < (price.cached or price.input) <= price.input < price.output, name
        assert price.patch or (price.base and price.tile), name


# -- reasoning ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "settings", "effort", "max_tokens"),
    [
        ("gpt-6-luna", {}, "none", 400),
        ("gpt-5-mini", {}, "minimal", 1000),
        ("gpt-4o", {}, None, 400),
        ("gpt-6-luna", {"reasoning_effort": "low"}, "low", 2400),
        ("gpt-6-luna", {"reasoning_effort": "low", "max_tokens": 900}, "low", 900),
    ],
)
def test_a_model_that_reasons_is_asked_for_as_little_as_it_can(
    server: CaptionServer,
    tmp_path: Path,
    model: str,
    settings: dict[str, Any],
    effort: str | None,
    max_tokens: int,
) -> None:
    stage = captioner(server, model=model, **settings)
    run_captions(tmp_path, ClipSource(1, tmp_path), stage)
    (request,) = server.requests
    assert request.body.get("reasoning_effort") == effort
    assert request.body["max_completion_tokens"] == max_tokens
    assert stage.request(clip(0, tmp_path)).max_token_counts(stage.price)[1] == max_tokens


def test_the_least_effort_changes_no_key(tmp_path: Path) -> None:
    stage = Captioner(model="gpt-6-luna")
    assert stage.request_params.reasoning_effort == "none"
    assert stage.digest == Captioner(model="gpt-6-luna", max_tokens=400).digest


def test_an_effort_that_is_refused_becomes_the_next(server: CaptionServer, tmp_path: Path) -> None:
    refusal = "Unsupported value: 'reasoning_effort' does not support 'none' with this model."
    server.script = lambda request: (
        ErrorReply(400, "unsupported_value", refusal)
        if request.body.get("reasoning_effort") == "none"
        else described(request)
    )
    stage = captioner(server, model="gpt-6-luna", concurrency=1)
    assert len(run_captions(tmp_path, ClipSource(2, tmp_path), stage).finished) == 2
    assert [r.body.get("reasoning_effort") for r in server.requests] == ["none", *["minimal"] * 2]


def test_a_reply_that_is_all_reasoning_is_no_caption_cut_short(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = lambda request: ModelReply("", finish="length")
    run = run_captions(tmp_path, ClipSource(1, tmp_path), captioner(server))
    (failed,) = [r for r in run.item_results if r.status == "failed"]
    assert "before it answered: set reasoning_effort=" in failed.message


# -- dates ----------------------------------------------------------------------------------------


def test_a_list_of_models_that_hangs_holds_no_build_up(
    server: CaptionServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brickfilm.captions.backends.openai.client.MODELS_SECONDS", 0.1)
    server.models_pause = 2.0
    stage = captioner(server)
    with stage.backend.connect(stage.service) as backend, pytest.raises(NoResponse):
        backend.models()
    assert len(run_captions(tmp_path, ClipSource(1, tmp_path), stage).finished) == 1


@pytest.mark.parametrize(("days", "warned"), [(20, 1), (90, 0)])
def test_a_date_that_the_service_states_is_warned_of(
    server: CaptionServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    days: int,
    warned: int,
) -> None:
    ends = (datetime.now(UTC).date() + timedelta(days=days)).isoformat()
    listed = {"object": "model", "created": 1, "owned_by": "x"}
    server.models = [
        {**listed, "id": "my-llava", "shutdown_date": ends},
        {**listed, "id": "other", "shutdown_date": None},
    ]
    run_captions(tmp_path, ClipSource(2, tmp_path), captioner(server))
    assert sum(f"retires on {ends}" in line for line in caplog.messages) == warned


def test_dated_names_have_their_familys_price() -> None:
    prices = price_list()
    assert prices.price_of("gpt-4o-2024-08-06") == prices.price_of("gpt-4o")
    assert prices.price_of("gpt-4o-mini-2024-07-18") == prices.price_of("gpt-4o-mini")
    assert prices.price_of("gpt-4o-audio") is None


WRONG_LISTS = (
    ("input = 1", "output"),
    ('input = "1"\noutput = 2', "input = '1' in .models.m."),
    ("input = -1\noutput = 2", "input = -1 in .models.m."),
    ("input = nan\noutput = 2", "input = nan in .models.m."),
    ("input = 1\noutput = true", "output = True in .models.m."),
    ('input = 1\noutput = 2\nretires = "2027"', "retires = '2027' in .models.m."),
    ("input = 1\noutput = 2\ncahced = 1", "has no cahced, did you mean cached"),
    ("input = 1\noutput = 2\n[limits]\nbatch_discount = -1", "batch_discount = -1 in .limits."),
    ("input = 1\noutput = 2\n[models]\na = 3", "models"),
)


@pytest.mark.parametrize(("entry", "message"), WRONG_LISTS)
def test_a_wrong_price_list_names_its_entry(tmp_path: Path, entry: str, message: str) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(f"date = 2026-11-01\n[models.m]\n{entry}\n")
    with pytest.raises(UsageError, match=message):
        price_list(own)


RETIRING = """
date = 2026-11-01
[models.old]
input = 1.0
output = 2.0
retires = {date}
[models.new]
input = 1.0
output = 2.0
"""


@pytest.mark.parametrize(
    ("today", "warning"),
    [
        (date(2026, 12, 1), ""),  # 61 days before
        (date(2026, 12, 2), "'old' retires on 2027-01-31, in 60 days"),
        (date(2027, 1, 31), "'old' retires on 2027-01-31, in 0 days"),
        (date(2027, 2, 1), "'old' was retired on 2027-01-31"),
    ],
)
def test_a_model_that_retires_is_a_warning(tmp_path: Path, today: date, warning: str) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(RETIRING.format(date="2027-01-31"))
    prices = price_list(own)
    message = retirement_warning(prices, "old", today)
    assert message.startswith(f"model={warning}" if warning else "")
    assert bool(message) == bool(warning) == message.endswith("set model= to another one (new)")
    assert retirement_warning(prices, "new", today) == ""
    assert retirement_warning(prices, "unknown", today) == ""


@pytest.mark.parametrize(("retires", "warnings"), [("2020-01-01", 1), ("2999-01-01", 0)])
def test_a_build_warns_once_of_a_retired_model(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    retires: str,
    warnings: int,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    own = tmp_path / "prices.toml"
    own.write_text(RETIRING.format(date=retires))
    Pipeline.from_stages(
        ClipSource(1, tmp_path), [GPT4oCaptioner(model="old", prices=str(own))]
    ).check()
    assert sum("was retired on 2020-01-01" in line for line in caplog.messages) == warnings
