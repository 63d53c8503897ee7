"""The reservation of a request: never below what can be billed for it, and little above."""

from __future__ import annotations

import io
import json
import random
import string
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
import PIL.Image
import pytest

from brickfilm.captions.pricing import find_price, price_list
from brickfilm.captions.prompts import ItemKind, builtin_prompts, load_prompt
from brickfilm.captions.reply_format import reply_schema, schema_instruction
from brickfilm.captions.token_bounds import counted_tokens, max_text_tokens
from brickfilm.records import Clip
from brickfilm.stages import CaptionAudit, Captioner
from tests.kit.captions import clip

bpe_openai = pytest.importorskip("bpe_openai")  # the vocabulary, without a download
ENCODING = bpe_openai.get_encoding("o200k_base")
KINDS: tuple[ItemKind, ...] = ("clips", "images")


def tokens(text: str) -> int:
    return len(ENCODING.encode(text))


def noise(letters: str, count: int = 3000) -> str:
    draw = random.Random(7)
    return "".join(draw.choice(letters) for _ in range(count))


TEXTS = {
    "English": load_prompt("bricks").text,
    "Finnish": "Mies ruskeassa takissa kävelee katua epäjärjestelmällistyttämättömästi. " * 9,
    "Polish": "Mężczyzna w brązowym płaszczu idzie wąską uliczką do czerwonych drzwi. " * 9,
    "Chinese": "一个穿棕色大衣的男人沿着狭窄的街道走向一扇红门。" * 9,
    "Arabic": "رجل يرتدي معطفا بنيا يسير في شارع ضيق نحو باب أحمر. " * 9,
    "emoji": "👩\u200d👩\u200d👧\u200d👦🧑🏽\u200d🚀\U0001f3f4" * 9,
    "code": Path(__file__).read_text(encoding="utf-8"),
    "layout": "a  b   c\t\td\n\n\n e --- *** ||| " * 50,
    "random letters": noise(string.ascii_lowercase),
    "random consonants": noise("bcdfghjklmnpqrstvwxz"),
    "random capitals": noise(string.ascii_uppercase),
    "base64": noise(string.ascii_letters + string.digits + "+/"),
    "hexadecimal": noise("0123456789abcdef"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_has_more_tokens_than_its_bound(name: str) -> None:
    text = TEXTS[name]
    assert tokens(text) <= max_text_tokens(text) <= len(text.encode())


def test_our_own_texts_are_counted_with_the_real_vocabulary() -> None:
    counts = {}
    for kind in KINDS:
        for prompt in (load_prompt(name, kind) for name in builtin_prompts()):
            for form in (prompt, prompt.structured()):
                text = jinja2.Template(form.text).render(count="", percentages="")
                counts[form.digest] = tokens(text)
        for structured in (False, True):
            schema = reply_schema(kind, structured=structured)
            words = tokens(json.dumps(schema)) + tokens(schema_instruction(schema))
            counts[f"schema-{kind}{'-structured' if structured else ''}"] = words
    assert counts == counted_tokens()


def of_size(item: Clip, width: int, height: int, work: Path) -> Clip:
    """Give a clip stills of this size."""
    out = io.BytesIO()
    PIL.Image.new("RGB", (width, height)).save(out, "JPEG")
    for still in item.stills:
        (work / still.path).write_bytes(out.getvalue())
    new = {"width": width, "height": height, "sha256": sha256(out.getvalue()).hexdigest()}
    return replace(item, stills=tuple(replace(still, **new) for still in item.stills))


def most_billed(stage: Captioner, request: Any, work: Path) -> float:
    """Return the bill if the reply has all its tokens, by the vocabulary and the pictures sent."""
    chat, price = request.chat(work), stage.price
    assert price is not None
    text = "".join(message.text for message in chat.messages) + json.dumps(chat.schema)
    pictures = [PIL.Image.open(io.BytesIO(jpeg)) for m in chat.messages for jpeg in m.jpegs]
    seen = sum(price.image_tokens(*p.size, chat.detail) for p in pictures)
    return price.cost(tokens(text) + 4 * len(chat.messages) + seen, chat.max_tokens)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-6-luna", "gpt-4.1-mini"])
@pytest.mark.parametrize("size", [(1280, 720), (300, 640), (200, 120)])
@pytest.mark.parametrize("settings", [{}, {"structured": True, "detail": "low"}])
def test_a_reservation_is_the_most_that_can_be_billed_and_little_more(
    model: str, size: tuple[int, int], settings: dict[str, Any], tmp_path: Path
) -> None:
    stage = Captioner(model=model, **settings)
    item = of_size(clip(0, tmp_path), *size, tmp_path)
    request = stage.request(item)
    bill = most_billed(stage, request, tmp_path)
    assert bill <= stage.worst_case_cost(request) <= 1.2 * bill


def test_the_reservation_of_a_second_caption_holds_the_first(tmp_path: Path) -> None:
    stage = Captioner(model="gpt-4o", max_cost_usd=1.0)
    item = of_size(clip(0, tmp_path), 640, 360, tmp_path)
    faulty = "The video shows a man who seems sad. " * 20
    item = replace(item, caption=stage_caption(faulty))
    request = CaptionAudit(stage).request(item)
    assert request.revision is not None
    bill = most_billed(stage, request.revision, tmp_path)
    reserved = CaptionAudit(stage).worst_case_cost(request)
    assert reserved is not None
    assert bill <= reserved <= 1.35 * bill


def stage_caption(text: str) -> Any:
    from brickfilm.records import Caption

    return Caption(text=text, model="gpt-4o")


def test_a_price_of_ones_own_keeps_the_rule_for_pictures_of_the_list() -> None:
    listed = price_list().price_of("gpt-4o-mini")
    assert listed is not None
    for name in ("gpt-4o-mini", "vendor/gpt-4o-mini"):
        own = find_price(price_list(), name, per_million=(1.0, 2.0))
        assert own is not None
        assert own.image_tokens(512, 288) == listed.image_tokens(512, 288) == 8500
        assert own.cost(1_000_000, 1_000_000, 500_000) == pytest.approx(3.0)
    unknown = find_price(price_list(), "my-llava", per_million=(1.0, 2.0))
    assert unknown is not None
    assert unknown.image_tokens(512, 288) == 6 * 256  # as a square
