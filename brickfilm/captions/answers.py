"""From what a service sends back to what the ledger keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brickfilm.captions.pricing import Price
from brickfilm.captions.prompts import ItemKind
from brickfilm.captions.reply_format import (
    DESCRIBED,
    FILTERED,
    REFUSAL,
    TRUNCATED,
    MalformedReply,
    ParsedReply,
    parse_reply,
)
from brickfilm.engine.stage import Answer
from brickfilm.errors import InvalidResponse
from brickfilm.records import Caption

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion


def answer_from_completion(
    reply: ChatCompletion, *, item_kind: ItemKind, price: Price | None, discount: float = 1.0
) -> Answer:
    """Status, text and bill. What is no answer raises Spoilt: charged, and asked again."""
    bill = _usage_and_cost(reply, price, discount)
    try:
        said = _parse_choice(reply, item_kind)
    except MalformedReply as error:
        raise InvalidResponse(str(error), reason="malformed answer", bill=bill) from error
    return {"status": said.status, "text": said.caption, **bill}


def filtered_answer(model: str) -> Answer:
    """The answer to a request that the service would not look at."""
    return {"status": FILTERED, "text": "", "model": model, "cost": 0.0}


def caption_from_answer(answer: Answer, prompt_digest: str) -> Caption:
    """An answer as a record: its text is a caption only if its status is 'described'."""
    return Caption(
        text=answer["text"] if answer["status"] == DESCRIBED else "",
        status=answer["status"],
        model=answer["model"],
        prompt_digest=prompt_digest,
        input_tokens=answer.get("input_tokens", 0),
        output_tokens=answer.get("output_tokens", 0),
        cost=answer["cost"],
    )


def _parse_choice(reply: ChatCompletion, item_kind: ItemKind) -> ParsedReply:
    if not reply.choices:
        raise MalformedReply("an answer without choices")
    choice = reply.choices[0]
    if choice.finish_reason == "content_filter":
        return ParsedReply(FILTERED)
    if choice.finish_reason == "length":
        return ParsedReply(TRUNCATED)
    if choice.message.refusal:
        return ParsedReply(REFUSAL)
    if not choice.message.content:
        raise MalformedReply("an answer without content")
    return parse_reply(choice.message.content, item_kind)


def _usage_and_cost(
    reply: ChatCompletion, price: Price | None, discount: float
) -> dict[str, object]:
    """Tokens and US dollars; without a price the dollars are 0 and `priced` says why."""
    usage = reply.usage
    sent, written = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    details = usage.prompt_tokens_details if usage else None
    cached = (details.cached_tokens or 0) if details else 0
    return {
        "model": reply.model,
        "input_tokens": sent,
        "output_tokens": written,
        "cost": price.cost(sent, written, cached) * discount if price else 0.0,
        **({} if price else {"priced": False}),
    }
