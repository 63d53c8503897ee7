"""One question, asked: what it can cost at most, and its answer."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from brickfilm.captions.answers import answer_from_completion, filtered_answer
from brickfilm.captions.backends.openai import Client, ContentFiltered, Service
from brickfilm.captions.pricing import Price, PriceList, UnknownPrice
from brickfilm.captions.prompts import Prompt
from brickfilm.captions.request import CaptionRequest, ClipOrImage
from brickfilm.engine.stage import Answer, Resources


class CaptionStage(Protocol):
    """A stage that asks a service for captions, as those see it that ask it again."""

    @property
    def resources(self) -> Resources: ...
    @property
    def budget(self) -> float | None: ...
    @property
    def budget_group(self) -> tuple[str, ...]: ...
    @property
    def service(self) -> Service: ...
    @property
    def known_prices(self) -> PriceList: ...
    @property
    def price(self) -> Price | None: ...
    def caption_request(self, item: ClipOrImage) -> CaptionRequest: ...
    def prompt_of(self, item: ClipOrImage) -> Prompt: ...


def request_caption(
    client: Client, caption_request: CaptionRequest, work: Path, price: Price | None
) -> Answer:
    """Send a question and read its answer."""
    try:
        reply = client.complete(caption_request.body(work))
    except ContentFiltered:
        return filtered_answer(caption_request.request_params.model)
    answer = answer_from_completion(reply, item_kind=caption_request.item_kind, price=price)
    return {**answer, "stills": len(caption_request.stills)}


def max_request_cost(
    caption_request: CaptionRequest, price: Price | None, *, has_budget: bool
) -> float:
    """US dollars that one request can cost at most; where no price is known, no limit can hold."""
    if price is not None:
        return price.cost(*caption_request.max_token_counts(price))
    if has_budget:
        model = caption_request.request_params.model
        raise UnknownPrice(
            f"max_cost_usd cannot hold for model={model!r}, whose price is not known: name a price "
            "list with prices='FILE.toml', or leave max_cost_usd out"
        )
    return 0.0
