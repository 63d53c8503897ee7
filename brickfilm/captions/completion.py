"""One question, asked: what it can cost at most, and its answer."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from brickfilm.captions.answers import answer_of, blocked
from brickfilm.captions.backends.openai import Blocked, Client, Service
from brickfilm.captions.pricing import Price, PriceList, UnknownPrice
from brickfilm.captions.prompts import Prompt
from brickfilm.captions.request import Captioned, Question
from brickfilm.engine.stage import Answer, Resources


class Captioner(Protocol):
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
    def question(self, item: Captioned) -> Question: ...
    def prompt_of(self, item: Captioned) -> Prompt: ...


def ask_once(client: Client, question: Question, work: Path, price: Price | None) -> Answer:
    """Send a question and read its answer."""
    try:
        reply = client.ask(question.body(work))
    except Blocked:
        return blocked(question.look.model)
    answer = answer_of(reply, subject=question.subject, price=price)
    return {**answer, "stills": len(question.stills)}


def most_dollars(question: Question, price: Price | None, *, limited: bool) -> float:
    """US dollars that one request can cost at most; where no price is known, no limit can hold."""
    if price is not None:
        return price.cost(*question.most_tokens(price))
    if limited:
        model = question.look.model
        raise UnknownPrice(
            f"max_cost_usd cannot hold for model={model!r}, whose price is not known: name a price "
            "list with prices='FILE.toml', or leave max_cost_usd out"
        )
    return 0.0
