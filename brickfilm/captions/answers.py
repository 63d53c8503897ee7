"""Turn a service's reply into the answer that the ledger stores, and that into a caption."""

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
    completion: ChatCompletion, *, item_kind: ItemKind, price: Price | None, discount: float = 1.0
) -> Answer:
    """Return status, text, model, tokens and cost (US dollars) of a completion.

    Raises InvalidResponse, with the bill, if it cannot be parsed; the item is then sent again.
    """
    bill = _usage_and_cost(completion, price, discount)
    try:
        reply = _parse_choice(completion, item_kind)
    except MalformedReply as error:
        raise InvalidResponse(str(error), reason="malformed answer", bill=bill) from error
    return {"status": reply.status, "text": reply.caption, **bill}


def filtered_answer(model: str) -> Answer:
    """Return the answer to a request that the service's content filter rejected."""
    return {"status": FILTERED, "text": "", "model": model, "cost": 0.0}


def caption_from_answer(answer: Answer, prompt_digest: str) -> Caption:
    """Make a caption record; its text is empty unless the status is 'described'."""
    return Caption(
        text=answer["text"] if answer["status"] == DESCRIBED else "",
        status=answer["status"],
        model=answer["model"],
        prompt_digest=prompt_digest,
        input_tokens=answer.get("input_tokens", 0),
        output_tokens=answer.get("output_tokens", 0),
        cost=answer["cost"],
    )


def _parse_choice(completion: ChatCompletion, item_kind: ItemKind) -> ParsedReply:
    if not completion.choices:
        raise MalformedReply("the reply has no choices")
    choice = completion.choices[0]
    if choice.finish_reason == "content_filter":
        return ParsedReply(FILTERED)
    if choice.finish_reason == "length":
        return ParsedReply(TRUNCATED)
    if choice.message.refusal:
        return ParsedReply(REFUSAL)
    if not choice.message.content:
        raise MalformedReply("the reply has no content")
    return parse_reply(choice.message.content, item_kind)


def _usage_and_cost(
    completion: ChatCompletion, price: Price | None, discount: float
) -> dict[str, object]:
    """Return model, tokens and cost; without a price the cost is 0 and `priced` is False."""
    usage = completion.usage
    prompt_tokens, output_tokens = (
        (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    )
    details = usage.prompt_tokens_details if usage else None
    cached = (details.cached_tokens or 0) if details else 0
    return {
        "model": completion.model,
        "input_tokens": prompt_tokens,
        "output_tokens": output_tokens,
        "cost": price.cost(prompt_tokens, output_tokens, cached) * discount if price else 0.0,
        **({} if price else {"priced": False}),
    }
