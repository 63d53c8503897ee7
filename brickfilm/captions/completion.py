"""Send one caption request, and bound its cost beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from brickfilm.captions.pricing import Price, PriceList, UnknownPrice
from brickfilm.captions.prompts import Prompt
from brickfilm.captions.request import CaptionRequest, ClipOrImage
from brickfilm.engine.stage import Answer, Resources
from brickfilm.errors import InvalidResponse

FAILURE_ADVICE = (
    "Look at `brickfilm status`, and try another model=, base_url=, json_mode= or timeout="
)


class CaptionStage(Protocol):
    """The parts of a captioning stage that the audit, the forecast and batch jobs use."""

    @property
    def resources(self) -> Resources: ...
    @property
    def budget(self) -> float | None: ...
    @property
    def budget_group(self) -> tuple[str, ...]: ...
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
    captioner: CaptionStage, work: Path
) -> Iterator[Callable[[CaptionRequest], Answer]]:
    """Connect to a captioner's backend; yield the function that sends a request."""
    failures = FailureLimit(captioner.max_failures_in_a_row, FAILURE_ADVICE)
    with captioner.backend.connect(captioner.service) as connection:
        yield lambda request: failures.call(
            lambda: request_caption(connection, request, work, captioner.price)
        )


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


def max_request_cost(request: CaptionRequest, price: Price | None, *, has_budget: bool) -> float:
    """Return the most that one request can cost, in US dollars; 0 if its price is unknown.

    Raises UnknownPrice if there is a budget, which no unknown price can be checked against.
    """
    if price is not None:
        return price.cost(*request.max_token_counts(price))
    if has_budget:
        model = request.params.model
        raise UnknownPrice(
            f"max_cost_usd cannot be enforced for model={model!r}, whose price is unknown: pass "
            "a price list with prices='FILE.toml', or leave max_cost_usd out"
        )
    return 0.0
