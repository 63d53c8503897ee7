"""Turn a service's reply into the answer that the ledger stores, and that into a caption."""

from __future__ import annotations

from brickfilm.captions.backend import Completion
from brickfilm.captions.pricing import Price
from brickfilm.captions.prompts import ItemKind
from brickfilm.captions.reply_format import (
    DESCRIBED,
    FILTERED,
    REFUSAL,
    TRUNCATED,
    MalformedReply,
    ParsedReply,
    parse_prose,
    parse_reply,
)
from brickfilm.engine.stage import Answer
from brickfilm.errors import InvalidResponse
from brickfilm.records import Caption

MAX_PLAUSIBLE_COST = 100.0
"""US dollars of one request; a service that states more is not believed."""


def answer_from_completion(
    completion: Completion, *, item_kind: ItemKind, price: Price | None, discount: float = 1.0
) -> Answer:
    """Return status, text, model, tokens and cost (US dollars) of a completion.

    Raises InvalidResponse, with the bill, if it cannot be parsed; the item is then sent again.
    """
    bill = usage_and_cost(completion, price, discount)
    try:
        reply = _parse(completion, item_kind)
    except MalformedReply as error:
        raise InvalidResponse(str(error), reason="malformed answer", bill=bill) from error
    prose = {"prose": True} if completion.may_be_prose else {}
    aspects = {"aspects": dict(reply.aspects)} if reply.aspects else {}
    return {"status": reply.status, "text": reply.caption, **aspects, **prose, **bill}


def caption_from_answer(answer: Answer, prompt_digest: str) -> Caption:
    """Make a caption record; its text is empty unless the status is 'described'."""
    return Caption(
        text=answer["text"] if answer["status"] == DESCRIBED else "",
        status=answer["status"],
        model=answer["model"],
        prompt_digest=prompt_digest,
        input_tokens=answer.get("input_tokens", 0),
        output_tokens=answer.get("output_tokens", 0),
        cost=answer["cost"] or 0.0,
        aspects=answer.get("aspects", {}),
    )


def _parse(completion: Completion, item_kind: ItemKind) -> ParsedReply:
    if completion.finish_reason == "content_filter":
        return ParsedReply(FILTERED)
    if completion.finish_reason == "length" and not completion.text:
        raise MalformedReply(
            f"the model used all of its {completion.usage.output} tokens before it answered: set "
            "reasoning_effort= to a lower one, or raise max_tokens="
        )
    if completion.finish_reason == "length":
        return ParsedReply(TRUNCATED)
    if completion.refusal:
        return ParsedReply(REFUSAL)
    if not completion.text:
        raise MalformedReply("the reply has no content")
    if completion.may_be_prose:
        return parse_prose(completion.text)
    return parse_reply(completion.text, item_kind)


def usage_and_cost(
    completion: Completion, price: Price | None, discount: float = 1.0
) -> dict[str, object]:
    """Return model, tokens and cost; without a price the cost is 0 and `priced` is False.

    The cost is None where the service's counts are missing or absurd: the ledger then books the
    reservation, which is the most that the request can have cost.
    """
    usage = completion.usage
    known = usage.is_plausible
    tokens = (usage.input or 0, usage.output or 0) if known else (0, 0)
    stated = completion.cost
    if stated is not None and 0 <= stated < MAX_PLAUSIBLE_COST:
        cost: float | None = stated
    elif price is None or price.is_zero:
        cost = 0.0
    else:
        cost = price.cost(*tokens, min(usage.cached, tokens[0])) * discount if known else None
    return {
        "model": completion.model,
        "input_tokens": tokens[0],
        "output_tokens": tokens[1],
        **({"reasoning_tokens": usage.reasoning} if known and usage.reasoning else {}),
        "cost": cost,
        **({} if price or stated is not None else {"priced": False}),
    }
