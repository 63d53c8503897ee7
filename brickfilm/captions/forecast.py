"""What captions will cost, before anything is sent; better known after the first real answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.captions.completion import CaptionStage, max_request_cost
from brickfilm.captions.pricing import Price, PriceList
from brickfilm.captions.request import CaptionRequest, ClipOrImage
from brickfilm.engine.ledger import usage_frame
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.records import Clip

TokenUsage = Mapping[int, tuple[float, float]]
"""Tokens (in, out) of a real answer on average, by the number of stills it was about."""


@dataclass(frozen=True, kw_only=True)
class CostForecast:
    """What is still to be asked, and what that takes."""

    model: str
    clips: int
    images: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    """None where the model's price is not known."""
    max_cost_usd: float | None
    """If every answer were as long as it may be."""
    measured: bool
    """Whether tokens are those of real answers in this work folder."""
    use_batch: bool
    priced_on: str

    @property
    def requests(self) -> int:
        return self.clips + self.images

    def __str__(self) -> str:
        basis = "as measured here" if self.measured else "estimated"
        jobs = ", in jobs at the batch price" if self.use_batch else ""
        return (
            f"{self.clips} clips and {self.images} images: {self.requests:,} requests to "
            f"{self.model}{jobs}\n  {self.input_tokens:,} tokens in, {self.output_tokens:,} out "
            f"({basis})\n  {self._money()}"
        )

    def _money(self) -> str:
        if self.cost_usd is None or self.max_cost_usd is None:
            return f"price of {self.model} unknown: name a price list with prices='FILE.toml'"
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
    """Add up what these items will take."""
    prices, price = captioner.known_prices, captioner.price
    questions = [captioner.caption_request(item) for item in items]
    tokens = [expected_token_counts(caption_request, price, usage) for caption_request in questions]
    read, written = (sum(side) for side in zip(*tokens, strict=True)) if tokens else (0.0, 0.0)
    kinds = Counter(isinstance(item, Clip) for item in items)
    share = prices.batch_discount if use_batch else 1.0
    most = sum(
        max_request_cost(caption_request, price, has_budget=False) for caption_request in questions
    )
    return CostForecast(
        model=questions[0].request_params.model if questions else captioner.service.model,
        clips=kinds[True],
        images=kinds[False],
        input_tokens=round(read),
        output_tokens=round(written),
        cost_usd=price.cost(round(read), round(written)) * share if price else None,
        max_cost_usd=most * share if price else None,
        measured=all(len(caption_request.stills) in usage for caption_request in questions),
        use_batch=use_batch,
        priced_on=priced_on(prices),
    )


def expected_token_counts(
    caption_request: CaptionRequest, price: Price | None, usage: TokenUsage
) -> tuple[float, float]:
    """Of one question: what such a one has taken, or what is likely."""
    counted = price or Price(input=0.0, output=0.0)
    return usage.get(len(caption_request.stills)) or caption_request.estimated_token_counts(counted)


def measured_usage(work: Path, part: str) -> TokenUsage:
    """From the answers that a work folder holds."""
    if not (work / FILENAME).is_file():
        return {}
    rows = usage_frame(work, part).to_dict("records")
    return {int(r["stills"]): (float(r["input_tokens"]), float(r["output_tokens"])) for r in rows}


def priced_on(prices: PriceList) -> str:
    return prices.date.isoformat()
