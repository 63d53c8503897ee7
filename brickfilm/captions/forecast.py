"""Forecast tokens and cost of captions; usage measured in the work folder replaces estimates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.captions.completion import CaptionStage, max_request_cost
from brickfilm.captions.pricing import Price
from brickfilm.captions.request import CaptionRequest, ClipOrImage
from brickfilm.engine.ledger import usage_frame
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.records import Clip

TokenUsage = Mapping[int, tuple[float, float]]
"""Mean (input, output) tokens of stored answers, by the number of stills in the request."""


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
            f"{self.clips} clips and {self.images} images: {self.requests:,} requests to "
            f"{self.model}{jobs}, prompt {self.prompt!r}\n"
            f"  {self.input_tokens:,} tokens in, {self.output_tokens:,} out ({basis})\n"
            f"  {self._cost_text()}"
        )

    def _cost_text(self) -> str:
        if self.cost_usd is None or self.max_cost_usd is None:
            return (
                f"price of {self.model} unknown: pass price_per_million=(input, output), or a "
                "price list with prices='FILE.toml'"
            )
        if not self.max_cost_usd:
            return "free: nothing is billed"
        return (
            f"${self.cost_usd:,.2f}, at most ${self.max_cost_usd:,.2f} (prices of {self.priced_on})"
        )


def forecast_cost(
    captioner: CaptionStage,
    items: Sequence[ClipOrImage],
    usage: TokenUsage,
    *,
    use_batch: bool = False,
) -> CostForecast:
    """Add up requests, tokens and cost of these items."""
    prices, price = captioner.known_prices, captioner.price
    requests = [captioner.request(item) for item in items]
    counts = [expected_token_counts(request, price, usage) for request in requests]
    input_tokens = round(sum(sent for sent, _ in counts))
    output_tokens = round(sum(received for _, received in counts))
    is_clip = Counter(isinstance(item, Clip) for item in items)
    discount = prices.batch_discount if use_batch else 1.0
    max_cost = sum(max_request_cost(request, price, has_budget=False) for request in requests)
    return CostForecast(
        model=requests[0].params.model if requests else captioner.service.model,
        clips=is_clip[True],
        images=is_clip[False],
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=price.cost(input_tokens, output_tokens) * discount if price else None,
        max_cost_usd=max_cost * discount if price else None,
        measured=all(len(request.stills) in usage for request in requests),
        use_batch=use_batch,
        priced_on=prices.date.isoformat(),
        prompt=captioner.prompt,
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
