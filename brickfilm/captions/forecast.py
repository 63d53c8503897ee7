"""What captions will cost, before anything is sent; better known after the first real answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.captions.completion import Captioner, most_dollars
from brickfilm.captions.pricing import Price, PriceList
from brickfilm.captions.request import Captioned, Question
from brickfilm.engine.ledger import usage_frame
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.records import Clip

Usage = Mapping[int, tuple[float, float]]
"""Tokens (in, out) of a real answer on average, by the number of stills it was about."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is still to be asked, and what that takes."""

    model: str
    clips: int
    images: int
    input_tokens: int
    output_tokens: int
    dollars: float | None
    """None where the model's price is not known."""
    at_most: float | None
    """If every answer were as long as it may be."""
    measured: bool
    """Whether tokens are those of real answers in this work folder."""
    in_jobs: bool
    priced_on: str

    @property
    def requests(self) -> int:
        return self.clips + self.images

    def __str__(self) -> str:
        basis = "as measured here" if self.measured else "estimated"
        jobs = ", in jobs at the batch price" if self.in_jobs else ""
        return (
            f"{self.clips} clips and {self.images} images: {self.requests:,} requests to "
            f"{self.model}{jobs}\n  {self.input_tokens:,} tokens in, {self.output_tokens:,} out "
            f"({basis})\n  {self._money()}"
        )

    def _money(self) -> str:
        if self.dollars is None or self.at_most is None:
            return f"price of {self.model} unknown: name a price list with prices='FILE.toml'"
        return f"${self.dollars:,.2f}, at most ${self.at_most:,.2f} (prices of {self.priced_on})"


def forecast(
    captioner: Captioner, items: Sequence[Captioned], usage: Usage, *, in_jobs: bool = False
) -> Forecast:
    """Add up what these items will take."""
    prices, price = captioner.known_prices, captioner.price
    questions = [captioner.question(item) for item in items]
    tokens = [tokens_of(question, price, usage) for question in questions]
    read, written = (sum(side) for side in zip(*tokens, strict=True)) if tokens else (0.0, 0.0)
    kinds = Counter(isinstance(item, Clip) for item in items)
    share = prices.batch_discount if in_jobs else 1.0
    most = sum(most_dollars(question, price, limited=False) for question in questions)
    return Forecast(
        model=questions[0].look.model if questions else captioner.service.model,
        clips=kinds[True],
        images=kinds[False],
        input_tokens=round(read),
        output_tokens=round(written),
        dollars=price.cost(round(read), round(written)) * share if price else None,
        at_most=most * share if price else None,
        measured=all(len(question.stills) in usage for question in questions),
        in_jobs=in_jobs,
        priced_on=priced_on(prices),
    )


def tokens_of(question: Question, price: Price | None, usage: Usage) -> tuple[float, float]:
    """Of one question: what such a one has taken, or what is likely."""
    counted = price or Price(input=0.0, output=0.0)
    return usage.get(len(question.stills)) or question.likely_tokens(counted)


def measured_usage(work: Path, part: str) -> Usage:
    """From the answers that a work folder holds."""
    if not (work / FILENAME).is_file():
        return {}
    rows = usage_frame(work, part).to_dict("records")
    return {int(r["stills"]): (float(r["input_tokens"]), float(r["output_tokens"])) for r in rows}


def priced_on(prices: PriceList) -> str:
    return prices.date.isoformat()
