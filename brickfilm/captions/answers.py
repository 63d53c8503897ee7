"""From what a service sends back to what the ledger keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brickfilm.captions.pricing import Price
from brickfilm.captions.prompts import Subject
from brickfilm.captions.reply_format import (
    DESCRIBED,
    FILTERED,
    REFUSAL,
    TRUNCATED,
    Malformed,
    Said,
    read,
)
from brickfilm.engine.stage import Answer
from brickfilm.errors import InvalidResponse
from brickfilm.records import Caption

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion


def answer_of(
    reply: ChatCompletion, *, subject: Subject, price: Price | None, discount: float = 1.0
) -> Answer:
    """Status, text and bill. What is no answer raises Spoilt: charged, and asked again."""
    bill = _bill(reply, price, discount)
    try:
        said = _said(reply, subject)
    except Malformed as error:
        raise InvalidResponse(str(error), reason="malformed answer", bill=bill) from error
    return {"status": said.status, "text": said.caption, **bill}


def blocked(model: str) -> Answer:
    """The answer to a request that the service would not look at."""
    return {"status": FILTERED, "text": "", "model": model, "cost": 0.0}


def caption_of(answer: Answer, prompt_digest: str) -> Caption:
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


def _said(reply: ChatCompletion, subject: Subject) -> Said:
    if not reply.choices:
        raise Malformed("an answer without choices")
    choice = reply.choices[0]
    if choice.finish_reason == "content_filter":
        return Said(FILTERED)
    if choice.finish_reason == "length":
        return Said(TRUNCATED)
    if choice.message.refusal:
        return Said(REFUSAL)
    if not choice.message.content:
        raise Malformed("an answer without content")
    return read(choice.message.content, subject)


def _bill(reply: ChatCompletion, price: Price | None, discount: float) -> dict[str, object]:
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
