"""Ask a model whether claims about a clip are true, from stills that the captioner did not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from brickfilm.captions.answers import usage_and_cost
from brickfilm.captions.backend import BackendConnection, Completion, UnreadableResponse
from brickfilm.captions.claims import MAX_CLAIMS
from brickfilm.captions.json_reply import last_object
from brickfilm.captions.pricing import Price
from brickfilm.captions.request import CaptionRequest, RequestParams
from brickfilm.engine.stage import Answer
from brickfilm.errors import InvalidResponse
from brickfilm.records import Clip

CLAIM_TOKENS = 12
Verdict = Literal["yes", "no", "unclear"]
VERDICTS: tuple[Verdict, ...] = ("yes", "no", "unclear")

PROMPT = """You check statements about one shot against stills of it, given in the order of time.
For each numbered statement answer `yes` if the stills show that it is true, `no` if they show that
it is false, and `unclear` if they do not show it. Judge by the stills alone: a statement may be
wrong however likely it sounds. Answer with JSON: {"verdicts": ["yes", "no", ...]}, one verdict for
each statement, in their order."""
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "verdicts": {"type": "array", "items": {"type": "string", "enum": list(VERDICTS)}},
    },
    "required": ["verdicts"],
    "additionalProperties": False,
}


def claims_request(clip: Clip, claims: Sequence[str], params: RequestParams) -> CaptionRequest:
    """Return the request that checks claims against a clip's check stills."""
    numbered = "\n".join(f"{number}. {claim}" for number, claim in enumerate(claims, 1))
    return CaptionRequest(
        item_kind="clips",
        system_prompt=f"{PROMPT}\n\n{numbered}",
        stills=clip.check_stills,
        params=params,
        schema=SCHEMA,
    )


def longest_claims_request(request: CaptionRequest, tokens: int) -> CaptionRequest:
    """Return a request as long as the check of any caption of so many tokens, on the same stills.

    Each of its claims may have CLAIM_TOKENS more: its number, and the aspect that it is from.
    """
    claims = "0" * (tokens + CLAIM_TOKENS * MAX_CLAIMS)  # a digit is a token
    return replace(request, system_prompt=PROMPT + claims)


def request_verdicts(
    connection: BackendConnection,
    request: CaptionRequest,
    claims: Sequence[str],
    work: Path,
    price: Price | None,
) -> Answer:
    """Send a request; return claims, verdicts, tokens and cost (US dollars).

    Raise InvalidResponse, with the bill, if there is not one verdict for each claim.
    """
    try:
        completion = connection.complete(request.chat(work))
    except UnreadableResponse as error:
        unread = {"model": request.params.model, "cost": None if price else 0.0}
        raise InvalidResponse(str(error), reason="unreadable response", bill=unread) from error
    bill = usage_and_cost(completion, price)
    verdicts = _parse(completion, len(claims))
    if verdicts is None:
        raise InvalidResponse(
            f"the reply has not one verdict for each of {len(claims)} claims: "
            f"{completion.text[:80]!r}",
            reason="malformed answer",
            bill=bill,
        )
    return {"claims": list(claims), "verdicts": verdicts, "stills": len(request.stills), **bill}


def support(verdicts: Sequence[str]) -> float:
    """Return the share of 'yes' among the claims that could be judged; 1 if none could."""
    judged = [verdict for verdict in verdicts if verdict != "unclear"]
    return judged.count("yes") / len(judged) if judged else 1.0


def _parse(completion: Completion, count: int) -> list[str] | None:
    reply = last_object(completion.text, key="verdicts")
    said = reply["verdicts"] if reply else None
    if not isinstance(said, list) or len(said) != count:
        return None
    verdicts = [verdict.strip().lower() if isinstance(verdict, str) else "" for verdict in said]
    return verdicts if set(verdicts) <= set(VERDICTS) else None
