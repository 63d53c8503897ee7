"""Send one caption request, and bound its cost beforehand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from brickfilm.captions.answers import answer_from_completion
from brickfilm.captions.backend import (
    Backend,
    BackendConnection,
    Service,
    UnreadableResponse,
)
from brickfilm.captions.failure_limit import FailureLimit
from brickfilm.captions.pricing import (
    UNKNOWN_RULE,
    Price,
    PriceList,
    UnknownPrice,
    retirement_warning,
)
from brickfilm.captions.prompts import Prompt
from brickfilm.captions.request import CaptionRequest, ClipOrImage
from brickfilm.engine.ledger import token_totals
from brickfilm.engine.stage import Answer, Resources
from brickfilm.errors import BrickfilmError, InvalidResponse, Waiting

log = logging.getLogger("brickfilm.captions")
FAILURE_ADVICE = (
    "Look at `brickfilm status`, and try another model=, base_url=, json_mode= or timeout="
)


_largest_item: dict[Path, int] = {}
"""Most tokens of one item, by work folder."""


class TokenLimited(Protocol):
    """The parts of a stage that the limit on tokens uses."""

    @property
    def budget_group(self) -> tuple[str, ...]: ...
    @property
    def max_tokens_total(self) -> int | None: ...


class CaptionStage(TokenLimited, Protocol):
    """The parts of a captioning stage that the audit, the forecast and batch jobs use."""

    @property
    def resources(self) -> Resources: ...
    @property
    def budget(self) -> float | None: ...
    @property
    def prompt(self) -> str: ...
    @property
    def names_rules(self) -> bool: ...
    @property
    def backend(self) -> Backend: ...
    @property
    def service(self) -> Service: ...
    @property
    def max_failures_in_a_row(self) -> int: ...
    @property
    def known_prices(self) -> PriceList: ...
    @property
    def price(self) -> Price | None: ...
    def request(self, item: ClipOrImage) -> CaptionRequest: ...
    def prompt_of(self, item: ClipOrImage) -> Prompt: ...


@contextmanager
def open_captioning(
    captioner: CaptionStage, work: Path, *, limits_tokens: bool = True
) -> Iterator[Callable[[CaptionRequest], Answer]]:
    """Connect to a captioner's backend; yield the function that sends a request.

    limits_tokens: False where the caller has checked the limit for several requests together.
    """
    failures = FailureLimit(captioner.max_failures_in_a_row, FAILURE_ADVICE)
    with captioner.backend.connect(captioner.service) as connection:
        warn_of_shutdown(connection, captioner)

        def ask(request: CaptionRequest) -> Answer:
            if limits_tokens:
                check_token_limit(captioner, max_tokens_of(request, captioner.price), work)
            return failures.call(
                lambda: request_caption(connection, request, work, captioner.price)
            )

        yield ask


def warn_of_shutdown(connection: BackendConnection, captioner: CaptionStage) -> None:
    """Log a warning if the service states that the model is shut down soon."""
    model, today = captioner.service.model, datetime.now(UTC).date()
    if retirement_warning(captioner.known_prices, model, today):
        return  # `check` has said so
    with suppress(BrickfilmError, UnreadableResponse):  # not every server has a list
        dates = {listed.id: listed.shutdown_date for listed in connection.models()}
        if (stated := dates.get(model)) and (
            warning := retirement_warning(captioner.known_prices, model, today, stated)
        ):
            log.warning("%s", warning)


def max_tokens_of(request: CaptionRequest, price: Price | None) -> int:
    """Return the most tokens, sent and received, of a request."""
    rule = UNKNOWN_RULE if price is None or price.is_zero else price
    return sum(request.max_token_counts(rule))


def check_token_limit(stage: TokenLimited, tokens: int, work: Path) -> None:
    """Raise Waiting if the tokens of all requests so far, with those of this item, could pass it.

    An item without a response counts as the largest that any stage has sent in this process.
    """
    most = _largest_item[work] = max(tokens, _largest_item.get(work, 0))
    if stage.max_tokens_total is None:
        return
    settled, unsettled = token_totals(work, stage.budget_group)
    if settled + max(1, unsettled) * most > stage.max_tokens_total:
        message = f"max_tokens_total={stage.max_tokens_total:,} reached: raise it and run again"
        raise Waiting(message, reason="budget")


def request_caption(
    connection: BackendConnection, request: CaptionRequest, work: Path, price: Price | None
) -> Answer:
    """Send a request and return its answer; raise InvalidResponse if none can be read."""
    try:
        completion = connection.complete(request.chat(work))
    except UnreadableResponse as error:
        bill = {"model": request.params.model, "cost": None if price else 0.0}
        raise InvalidResponse(str(error), reason="unreadable response", bill=bill) from error
    answer = answer_from_completion(completion, item_kind=request.item_kind, price=price)
    return {**answer, "stills": len(request.stills)}


def check_price(price: Price | None, model: str, *, has_budget: bool) -> None:
    """Raise UnknownPrice if there is a budget that no price can be checked against."""
    if price is None and has_budget:
        raise UnknownPrice(
            f"max_cost_usd cannot be enforced for model={model!r}, whose price is unknown: pass "
            "price_per_million=(input, output) (--price-per-million IN,OUT), or limit it by "
            "max_tokens_total= (--max-tokens-total) instead"
        )


def max_request_cost(request: CaptionRequest, price: Price | None, *, has_budget: bool) -> float:
    """Return the most that one request can cost, in US dollars; 0 if its price is unknown.

    Raises UnknownPrice if there is a budget.
    """
    check_price(price, request.params.model, has_budget=has_budget)
    return price.cost(*request.max_token_counts(price)) if price else 0.0
