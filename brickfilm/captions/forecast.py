"""Forecast tokens and cost of captions; usage measured in the work folder replaces estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from brickfilm.captions.backend import Service
from brickfilm.captions.completion import CaptionStage, max_request_cost
from brickfilm.captions.pricing import Price, PriceList
from brickfilm.captions.request import CaptionRequest, ClipOrImage
from brickfilm.engine.ledger import usage_frame
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.records import Clip
from brickfilm.schema.plural import pluralize

TYPICAL_CAPTION = (
    "A man in a brown coat walks along a narrow street to a red door. Two lamps glow above the "
    "wet pavement, and a dog follows him past a row of small windows. He stops, looks up and lifts "
    "his hat while a woman in a green dress waves from a balcony. The camera moves slowly closer."
)
"""Caption that a dry run assumes for an item without one."""

TokenUsage = Mapping[int, tuple[float, float]]
"""Mean (input, output) tokens of stored answers, by the number of stills in the request."""


class PricedStage(Protocol):
    """The parts of a paid stage that a forecast uses."""

    @property
    def service(self) -> Service: ...
    @property
    def known_prices(self) -> PriceList: ...
    @property
    def price(self) -> Price | None: ...


@dataclass(frozen=True, kw_only=True)
class CostForecast:
    """Requests still to be sent, with their tokens and cost."""

    model: str
    clips: int
    images: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    """None if the model's price is unknown."""
    max_cost_usd: float | None
    """If every reply had `max_tokens` tokens."""
    measured: bool
    """True if tokens are those of answers stored in this work folder."""
    use_batch: bool
    priced_on: str
    prompt: str

    @property
    def requests(self) -> int:
        return self.clips + self.images

    def __str__(self) -> str:
        basis = "measured here" if self.measured else "estimated"
        jobs = ", in batch jobs at the batch price" if self.use_batch else ""
        return (
            f"{pluralize(self.clips, 'clip')} and {pluralize(self.images, 'image')}: "
            f"{pluralize(self.requests, 'request')} to {self.model}{jobs}, prompt {self.prompt!r}\n"
            f"  {self.input_tokens:,} tokens in, {self.output_tokens:,} out ({basis})\n"
            f"  {self._cost_text()}"
        )

    def _cost_text(self) -> str:
        if self.cost_usd is None or self.max_cost_usd is None:
            return (
                f"price of {self.model} unknown: pass price_per_million=(input, output) "
                "(--price-per-million IN,OUT), or a price list with prices='FILE.toml'"
            )
        if not self.max_cost_usd:
            return "free: nothing is billed"
        likely, most = dollars(self.cost_usd), dollars(self.max_cost_usd)
        return f"{likely}, at most {most} (prices of {self.priced_on})"


def dollars(amount: float) -> str:
    """Format US dollars to the cent, less than one dollar to a hundredth of a cent."""
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"


def forecast_cost(
    captioner: CaptionStage,
    items: Sequence[ClipOrImage],
    usage: TokenUsage,
    *,
    use_batch: bool = False,
) -> CostForecast:
    """Add up requests, tokens and cost of these items."""
    requests = [captioner.request(item) for item in items]
    clips = sum(isinstance(item, Clip) for item in items)
    return forecast_requests(
        requests, captioner, usage, prompt=captioner.prompt, clips=clips, use_batch=use_batch
    )


def forecast_requests(
    requests: Sequence[CaptionRequest],
    stage: PricedStage,
    usage: TokenUsage,
    *,
    prompt: str,
    clips: int,
    use_batch: bool = False,
) -> CostForecast:
    """Add up tokens and cost of requests, of which `clips` are about clips, others about images."""
    prices, price = stage.known_prices, stage.price
    counts = [expected_token_counts(request, price, usage) for request in requests]
    input_tokens = round(sum(sent for sent, _ in counts))
    output_tokens = round(sum(received for _, received in counts))
    discount = prices.batch_discount if use_batch else 1.0
    max_cost = sum(max_request_cost(request, price, has_budget=False) for request in requests)
    return CostForecast(
        model=requests[0].params.model if requests else stage.service.model,
        clips=clips,
        images=len(requests) - clips,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=price.cost(input_tokens, output_tokens) * discount if price else None,
        max_cost_usd=max_cost * discount if price else None,
        measured=all(len(request.stills) in usage for request in requests),
        use_batch=use_batch,
        priced_on=prices.date.isoformat(),
        prompt=prompt,
    )


def expected_token_counts(
    request: CaptionRequest, price: Price | None, usage: TokenUsage
) -> tuple[float, float]:
    """Return mean measured (input, output) tokens of such requests, else an estimate."""
    image_price = price or Price(input=0.0, output=0.0)
    return usage.get(len(request.stills)) or request.estimated_token_counts(image_price)


def measured_usage(work: Path, part: str) -> TokenUsage:
    """Return the mean token usage of the answers stored in a work folder."""
    if not (work / FILENAME).is_file():
        return {}
    rows = usage_frame(work, part).to_dict("records")
    return {int(r["stills"]): (float(r["input_tokens"]), float(r["output_tokens"])) for r in rows}
