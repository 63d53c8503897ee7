"""One structured answer, several captions: asked once, rendered in the styles of trainers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brickfilm import CaptionAudit, Captioner, GPT4oCaptioner, RefusalFilter
from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.captions.aspects import ASPECTS, captions_json, parse_aspects
from brickfilm.captions.lint import lint
from brickfilm.captions.prompts import load_prompt
from brickfilm.captions.reply_format import parse_reply, reply_schema
from brickfilm.export.caption_styles import render_caption
from tests.kit.captions import ClipSource, Written
from tests.kit.servers.openai import CaptionServer, ModelReply, ReceivedRequest, answer

LONG = (
    "A postman in a green coat pushes a blue handcart over a stone bridge past two old anglers "
    "in straw hats who lift a silver fish out of the river. Wet moss glitters on the railing, and "
    "a mill wheel turns slowly on the left. The view rises from the water to the roofs. As the "
    "postman reaches the far bank a white goose runs out of a gate beside a barn and chases him "
    "around a heap of hay, and a boy with a wooden rake drops his apple, climbs onto a fence and "
    "waves both arms while letters fly out of the cart and land in the reeds along the shore."
)
PARTS = {
    "subjects": "A postman in a green coat, two anglers in straw hats and a white goose.",
    "action": "The postman crosses the bridge and flees around a heap of hay from the goose.",
    "setting": "A stone bridge over a river beside a mill.",
    "camera": "A wide tracking movement climbs upwards in one sweep.",
    "light": "Hard midday sunshine throws short, sharp shadows.",
    "style": "Saturated colours with deep blacks.",
    "text_on_screen": "",
    "short": "A postman crosses a bridge and is chased by a goose.",
}


def reply(caption: str = LONG, **parts: Any) -> ModelReply:
    said = {"status": "described", "caption": caption} | PARTS | parts
    return ModelReply(json.dumps(said), output_tokens=300)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with CaptionServer() as running:
        running.script = lambda request: reply()
        yield running


def built(work: Path, *stages: Any) -> BuildResult:
    return build(ClipSource(1, work), (Written(), *stages), workdir=work)


def row(result: BuildResult) -> dict[str, Any]:
    (found,) = result.dataset["clips"]["train"].remove_columns("video")
    return dict(found)


def test_one_request_fills_a_column_behind_all_others(
    server: CaptionServer, tmp_path: Path
) -> None:
    asks = Captioner(model="gpt-4o", base_url=server.url, structured=True)
    result = built(tmp_path, asks, RefusalFilter(), CaptionAudit(asks))
    (request,) = server.requests
    schema = request.body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["status", "caption", *ASPECTS]
    assert request.body["max_completion_tokens"] == 1000
    assert "`camera`: size of the shot" in request.text
    found = row(result)
    assert list(found)[-1] == "captions"
    assert found["caption"] == LONG
    styles = json.loads(found["captions"])
    assert {name: styles[name] for name in styles if name in ASPECTS} == {
        name: text for name, text in PARTS.items() if text
    }
    exported = {style: render_caption(found, style) for style in ("paragraph", "wan2.2", "aspects")}
    assert exported["paragraph"].startswith(LONG)
    assert exported["paragraph"].endswith("Saturated colours with deep blacks. " + PARTS["camera"])
    assert PARTS["setting"] not in exported["paragraph"]  # the caption has said it
    assert exported["wan2.2"].startswith(PARTS["short"]) and len(LONG.split()) > 100
    assert len(exported["wan2.2"].split()) <= 100
    order = ("subjects", "action", "setting", "light", "style", "camera")
    assert exported["aspects"] == " ".join(PARTS[name] for name in order)


def test_paid_answers_stay_valid_and_unstructured_datasets_are_as_before(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = lambda request: answer("described", "A dog runs over a wide green field.")
    plain = Captioner(model="gpt-4o", base_url=server.url)
    assert "captions" not in row(built(tmp_path, plain))
    assert "captions" not in row(built(tmp_path, plain)) and len(server.requests) == 1
    assert server.requests[0].body["max_completion_tokens"] == 400
    server.script = lambda request: reply()
    asked_more = Captioner(model="gpt-4o", base_url=server.url, structured=True)
    assert "captions" in row(built(tmp_path, asked_more)) and len(server.requests) == 2
    assert "captions" not in row(built(tmp_path, plain)) and len(server.requests) == 2
    assert plain.digest == Captioner(model="gpt-4o", structured=False).digest


def test_the_rules_hold_in_every_aspect(server: CaptionServer, tmp_path: Path) -> None:
    def script(request: ReceivedRequest) -> ModelReply:
        return reply() if request.is_revision else reply(light="The video seems dark.")

    server.script = script
    asks = GPT4oCaptioner(base_url=server.url, structured=True)
    found = row(built(tmp_path, asks, CaptionAudit(asks)))
    first, second = server.requests
    said, fault = second.body["messages"][-2:]
    assert json.loads(said["content"])["light"] == "The video seems dark."
    assert "'The video'" in fault["content"] and "'seems'" in fault["content"]
    assert second.body["response_format"] == first.body["response_format"]
    rules = load_prompt("bricks").rules
    texts = [*json.loads(found["captions"]).values()]
    assert [f for text in texts for f in lint(text, set(rules) - {"sentences", "language"})] == []

    server.script = lambda request: reply(light="The video seems dark.")
    result = built(tmp_path / "w", asks, CaptionAudit(asks))
    assert [r.reason for r in result.item_results if r.status == "rejected"] == ["audit: hedging"]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("A dog", "A dog."),
        (["A dog", 3, "a cat"], "A dog, a cat."),
        ("A\x00 dog\nruns!", "A dog runs!"),
        (None, None),
        (7, None),
        ("  ", None),
        ({"a": 1}, None),
    ],
)
def test_odd_aspects_are_text_or_left_out(cell: object, text: str | None) -> None:
    assert parse_aspects({"light": cell}).get("light") == text
    said = json.dumps({"status": "described", "caption": "A dog runs.", "light": cell})
    parsed = parse_reply(said, "clips")
    assert parsed.caption == "A dog runs." and parsed.aspects.get("light") == text


def test_styles_fall_back_to_the_caption() -> None:
    assert captions_json("A dog runs.", {}) == ""
    styles = json.loads(captions_json(LONG, {"light": "An orange sunset."}))
    assert styles["wan2.2"] == LONG  # never cut in the middle: there is no short form
    assert styles["paragraph"] == f"{LONG} An orange sunset."
    assert json.loads(captions_json("A dog runs.", PARTS))["wan2.2"] == "A dog runs."


def test_plain_prompts_and_schemas_are_unchanged() -> None:
    assert list(reply_schema("clips")["properties"]) == ["status", "caption"]
    for name in ("general", "bricks"):
        prompt = load_prompt(name)
        assert prompt.structured().text.startswith(prompt.text)
        assert prompt.structured().digest != prompt.digest
        assert prompt.structured().render((0.5,)).endswith("at most 25 words")
