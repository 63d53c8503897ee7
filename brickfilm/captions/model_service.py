"""The settings by which stages reach a vision model, and its price."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from brickfilm.captions.backend import Backend, JsonMode, Service
from brickfilm.captions.backends import OpenAIBackend
from brickfilm.captions.completion import check_price
from brickfilm.captions.pricing import (
    BUDGET_GROUP,
    FREE,
    Price,
    PriceList,
    find_price,
    price_list,
    retirement_warning,
)
from brickfilm.digest import field_added_later
from brickfilm.engine.stage import Resources
from brickfilm.errors import UsageError

log = logging.getLogger(__name__)
OPENAI = OpenAIBackend()


@dataclass(frozen=True, kw_only=True)
class ModelService:
    """Name a vision model and its service; all stages of a build share one budget.

    `max_cost_usd` is never exceeded: the highest cost of each request is reserved before it is
    sent. A model without a known price cannot be capped by it.
    """

    model: str
    backend: Backend = field_added_later(OPENAI)  # noqa: RUF009

    max_cost_usd: float | None = field(default=None, compare=False)
    price_per_million: tuple[float, float] | None = field(default=None, compare=False)
    """US dollars per million (input, output) tokens, in place of the price list's."""
    max_tokens_total: int | None = field(default=None, compare=False)
    """Limit for a model whose price is unknown: tokens of all requests of a work folder."""
    prices: str | None = field(default=None, compare=False)
    """Path of a price list; by default the built-in one, which has a date."""
    base_url: str | None = field(default=None, compare=False)
    api_key_env: str = field(default="OPENAI_API_KEY", compare=False)
    proxy: str | None = field(default=None, compare=False, repr=False)
    concurrency: int = field(default=8, compare=False)
    timeout: float = field(default=60.0, compare=False)
    """Seconds for one request."""
    total_timeout: float = field(default=180.0, compare=False)
    """Seconds for one request and its retries together."""
    json_mode: JsonMode = field(default="auto", compare=False)
    """Way to force replies into JSON: by a schema, as an object, or in words alone."""
    max_failures_in_a_row: int = field(default=20, compare=False)
    """After so many failures of one kind, no more requests are sent in this run."""

    @property
    def resources(self) -> Resources:
        return Resources(pool="thread", concurrency=self.concurrency)

    @property
    def budget(self) -> float | None:
        return self.max_cost_usd

    @property
    def budget_group(self) -> tuple[str, ...]:
        return BUDGET_GROUP

    def check(self) -> None:
        """Raise UsageError if a key, an extra or the price is missing; warn of a shutdown."""
        if isinstance(self.backend, type) or not isinstance(self.backend, Backend):
            raise UsageError(
                f"backend={self.backend!r} is no instance of a class like brickfilm.captions."
                "Backend: give OpenAIBackend(), TransformersBackend() or your own"
            )
        self.backend.check(self.service)
        check_price(self.price, self.model, has_budget=self.budget is not None)
        today = datetime.now(UTC).date()
        if warning := retirement_warning(self.known_prices, self.model, today):
            log.warning("%s", warning)

    @property
    def service(self) -> Service:
        return Service(
            model=self.model,
            base_url=self.base_url,
            api_key_env=self.api_key_env,
            proxy=self.proxy,
            timeout=self.timeout,
            total_timeout=self.total_timeout,
            concurrency=self.concurrency,
            json_mode=self.json_mode,
        )

    @property
    def known_prices(self) -> PriceList:
        return price_list(self.prices)

    @property
    def price(self) -> Price | None:
        capabilities = self.backend.capabilities
        if not capabilities.priced:
            return FREE
        return find_price(
            self.known_prices,
            self.model,
            base_url=self.base_url or capabilities.default_base_url,
            per_million=self.price_per_million,
        )
