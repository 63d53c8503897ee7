"""Commands for captions, and the cost forecast of a dry run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from brickfilm.captions.prompts import BadPrompt, load_prompt, parse_prompt
from brickfilm.cli import app
from brickfilm.errors import UsageError
from brickfilm.stages import GPT4oCaptioner
from tests.kit.captions import AddImages, ClipSource, clip, image, run_captions
from tests.kit.servers.openai import CaptionServer

CAPTIONS = [
    "A red car stops in front of a blue house.",
    "The video shows a man who appears to be waiting.",
    "A LEGO knight climbs a ladder to the roof of a tower.",
]


def brickfilm(*args: Any) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with CaptionServer() as running:
        yield running


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "txt"])
def test_lint_reads_captions_of_any_origin(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"captions.{kind}"
    table = pd.DataFrame({"path": ["a", "b", "c"], "text": CAPTIONS})
    match kind:
        case "csv":
            table.to_csv(file)
        case "jsonl":
            table.to_json(file, lines=True, orient="records")
        case "parquet":
            table.to_parquet(file)
        case "txt":
            file.write_text("\n".join(CAPTIONS) + "\n")
    result = brickfilm("lint", file, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["captions"] == 3
    assert report["rules"] == {"medium": 1, "hedging": 1, "toy": 1}
    assert [f["row"] for f in report["findings"]] == [1, 2]
    general = json.loads(brickfilm("lint", file, "--json", "--prompt", "general").stdout)
    assert general["rules"] == {"medium": 1, "hedging": 1}


def test_lint_counts_by_rule_and_ends_well_without_findings(tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text("\n".join(CAPTIONS))
    result = brickfilm("lint", file)
    assert result.exit_code == 1
    assert "hedging" in result.stdout and "33.3%" in result.stdout
    assert "row 2: toy: 'LEGO'" in result.stdout
    file.write_text(CAPTIONS[0])
    result = brickfilm("lint", file)
    assert (result.exit_code, result.stdout) == (0, "1 caption: none breaks a rule\n")


def test_lint_finds_the_column_or_says_which_there_are(tmp_path: Path) -> None:
    file = tmp_path / "captions.csv"
    pd.DataFrame({"notes": CAPTIONS, "id": range(3)}).to_csv(file, index=False)
    with pytest.raises(UsageError, match="pass --column, one of notes, id"):
        CliRunner().invoke(app, ["lint", str(file)], catch_exceptions=False)
    assert brickfilm("lint", file, "--column", "notes").exit_code == 1
    with pytest.raises(UsageError, match=r"give a \.csv"):
        CliRunner().invoke(app, ["lint", str(tmp_path / "x.doc")], catch_exceptions=False)


def test_prompt_show_prints_exactly_what_is_sent(server: CaptionServer, tmp_path: Path) -> None:
    run_captions(tmp_path, ClipSource(1, tmp_path), GPT4oCaptioner(base_url=server.url))
    system, user = server.requests[0].body["messages"]
    shown = brickfilm("prompt", "show").stdout
    assert system["content"] in shown
    assert user["content"][0]["text"] in shown
    of_images = brickfilm("prompt", "show", "general", "--images").stdout
    assert load_prompt("general", "images").text in of_images
    assert "10 % and 90 %" in brickfilm("prompt", "show", "--at", "0.1,0.9").stdout


@pytest.mark.parametrize("at", ["0.1,1.5", "-0.2", "nan", "half"])
def test_a_still_outside_its_clip_is_no_prompt(at: str) -> None:
    result = brickfilm("prompt", "show", f"--at={at}")
    assert isinstance(result.exception, UsageError)
    assert "give fractions of a clip" in str(result.exception)


def test_cancel_wants_a_build_and_makes_none(tmp_path: Path) -> None:
    result = brickfilm("cancel", tmp_path, "--out", tmp_path / "typo")
    assert isinstance(result.exception, UsageError)
    assert "name the --out folder of a build" in str(result.exception)
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Describe.", "no front matter"),
        ("---\nname: x\n---\nDescribe.", "must hold name, version, for"),
        ("---\nname: x\nversion: 1\nfor: films\n---\nDescribe.", "expected 'clips' or 'images'"),
        ("---\nname: [\n---\nDescribe.", "must hold name, version, for"),
    ],
)
def test_a_prompt_that_is_written_wrong_says_how(text: str, message: str) -> None:
    with pytest.raises(BadPrompt, match=message):
        parse_prompt(text, "own.md")


def test_holes_that_nobody_fills_are_an_error(tmp_path: Path) -> None:
    own = tmp_path / "own.md"
    own.write_text("---\nname: own\nversion: 1\nfor: clips\n---\nSay {{ nothing }}.\n")
    with pytest.raises(BadPrompt, match="'nothing' is undefined; it may use"):
        GPT4oCaptioner(prompt=str(own)).request(clip(0, tmp_path))
    with pytest.raises(BadPrompt, match="no prompt"):
        load_prompt("missing.md")
    with pytest.raises(BadPrompt, match=r"own\.image\.md"):
        load_prompt(own, "images")


# -- forecasts ----------------------------------------------------------------------------------


def test_a_dry_run_counts_requests_tokens_and_money_and_sends_nothing(
    server: CaptionServer, tmp_path: Path
) -> None:
    stage = GPT4oCaptioner(base_url=server.url)
    clips = [clip(n, tmp_path) for n in range(10)]
    forecast = stage.forecast([*clips, *map(image, clips)], tmp_path / "none")
    assert "10 clips and 10 images: 20 requests to gpt-4o" in forecast
    assert "(estimated)" in forecast and "(prices of 20" in forecast
    halved = GPT4oCaptioner(base_url=server.url, mode="batch")
    assert "in batch jobs at the batch price" in halved.forecast(clips, tmp_path / "none")
    assert "to gpt-4o, prompt 'bricks'" in forecast
    local = GPT4oCaptioner(base_url=server.url, model="my-llava")
    assert "free: nothing is billed" in local.forecast(clips, tmp_path / "none")
    unknown = GPT4oCaptioner(base_url="https://models.example/v1", model="my-llava")
    assert "price of my-llava unknown" in unknown.forecast(clips, tmp_path / "none")
    assert server.requests == []


def test_after_real_answers_the_forecast_is_the_bill(server: CaptionServer, tmp_path: Path) -> None:
    stage = GPT4oCaptioner(base_url=server.url)
    run_captions(tmp_path, ClipSource(2, tmp_path), AddImages(), stage)
    spent = server.bill
    left = [clip(n, tmp_path) for n in range(2, 12)]
    forecast = stage.forecast([*left, *map(image, left)], tmp_path)
    assert "(measured here)" in forecast
    run_captions(tmp_path, ClipSource(12, tmp_path), AddImages(), stage)
    assert f"${server.bill - spent:.4f}, at most" in forecast


def test_the_estimate_is_below_what_is_set_aside(tmp_path: Path) -> None:
    stage = GPT4oCaptioner()
    caption_request = stage.request(clip(0, tmp_path))
    price = stage.price
    assert price is not None
    likely, most = (
        caption_request.estimated_token_counts(price),
        caption_request.max_token_counts(price),
    )
    assert likely[0] < most[0] and likely[1] < most[1]
    assert most[0] < 2 * likely[0]
