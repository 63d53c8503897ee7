"""Caption clips and images with a vision model, by default GPT-4o."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from brickfilm.captions.answers import caption_from_answer
from brickfilm.captions.backends.openai import Service
from brickfilm.captions.backends.openai.batch import CaptionBatchService
from brickfilm.captions.completion import max_request_cost, request_caption
from brickfilm.captions.forecast import forecast_cost, measured_usage
from brickfilm.captions.pricing import Price, PriceList, price_list, retirement_warning
from brickfilm.captions.prompts import Prompt, load_prompt
from brickfilm.captions.request import CaptionRequest, ClipOrImage, Detail, RequestParams
from brickfilm.digest import digest_of
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.errors import Rejected
from brickfilm.records import Clip, Image

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GPT4oCaptioner(Stage[ClipOrImage, ClipOrImage]):
    """Add captions from a vision model behind any Chat Completions service.

    Answers are stored by the stills' bytes, the prompt's text, the model and its parameters, and
    never paid for twice. `max_cost_usd` is never exceeded: the highest cost of each request is
    reserved before it is sent. An item without a caption keeps its status for `RefusalFilter`.
    """

    input_types = (Clip, Image)
    requires = ("stills",)
    provides = ("caption",)

    model: str = "gpt-4o"
    prompt: str = field(default="bricks", compare=False)
    """Name or Markdown file of the prompt. Its text, not its name, is part of every key."""
    image_prompt: str | None = field(default=None, compare=False)
    """Prompt for images; by default the one of the same name."""
    image_size: int = 512
    image_quality: int = 85
    detail: Detail = "high"
    max_tokens: int = 400
    temperature: float | None = None
    reasoning_effort: str | None = None

    max_cost_usd: float | None = field(default=None, compare=False)
    prices: str | None = field(default=None, compare=False)
    """Path of a price list; by default the built-in one, which has a date."""
    base_url: str | None = field(default=None, compare=False)
    api_key_env: str = field(default="OPENAI_API_KEY", compare=False)
    proxy: str | None = field(default=None, compare=False, repr=False)
    concurrency: int = field(default=8, compare=False)
    timeout: float = field(default=60.0, compare=False)
    total_timeout: float = field(default=180.0, compare=False)

    mode: Literal["sync", "batch"] = field(default="sync", compare=False)
    """One request at a time, or in jobs of the Batch API: half the price, within a day."""
    poll_seconds: float = field(default=30.0, compare=False)

    @property
    def resources(self) -> Resources:
        return Resources(pool="thread", concurrency=self.concurrency)

    def key(self, item: ClipOrImage) -> str:
        return digest_of(self.caption_request(item).key, 32)

    @property
    def budget(self) -> float | None:
        return self.max_cost_usd

    @property
    def budget_group(self) -> tuple[str, ...]:
        return (self.name, "CaptionAudit")

    def worst_case_cost(self, item: ClipOrImage) -> float:
        max_cost = max_request_cost(
            self.caption_request(item), self.price, has_budget=self.budget is not None
        )
        return max_cost * (self.known_prices.batch_discount if self.uses_batch_jobs else 1.0)

    def check(self) -> None:
        """Raise UsageError without an API key or a prompt; warn if the model retires soon."""
        self.service.api_key()
        load_prompt(self.prompt, "clips")
        load_prompt(self.image_prompt or self.prompt, "images")
        today = datetime.now(UTC).date()
        if warning := retirement_warning(self.known_prices, self.model, today):
            log.warning("%s", warning)

    @property
    def uses_batch_jobs(self) -> bool:
        return self.mode == "batch"

    @contextmanager
    def open_batch_service(self, work: Path) -> Iterator[CaptionBatchService]:
        with self.service.connect() as client:
            yield CaptionBatchService(client, self, work, self.known_prices)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[ClipOrImage], Answer]]:
        with self.service.connect() as client:
            yield lambda item: request_caption(client, self.caption_request(item), work, self.price)

    def apply(self, item: ClipOrImage, answer: Answer) -> Iterable[ClipOrImage | Rejected]:
        yield replace(item, caption=caption_from_answer(answer, self.prompt_of(item).digest))

    def forecast(self, items: Sequence[ClipOrImage], work: Path) -> str:
        usage = measured_usage(work, self.digest)
        return str(forecast_cost(self, items, usage, use_batch=self.uses_batch_jobs))

    def caption_request(self, item: ClipOrImage) -> CaptionRequest:
        """Return the request for an item."""
        return CaptionRequest.for_item(item, self.prompt_of(item), self.request_params)

    def prompt_of(self, item: ClipOrImage) -> Prompt:
        if isinstance(item, Image):
            return load_prompt(self.image_prompt or self.prompt, "images")
        return load_prompt(self.prompt, "clips")

    @property
    def request_params(self) -> RequestParams:
        return RequestParams(
            model=self.model,
            image_size=self.image_size,
            image_quality=self.image_quality,
            detail=self.detail,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            reasoning_effort=self.reasoning_effort,
        )

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
        )

    @property
    def known_prices(self) -> PriceList:
        return price_list(self.prices)

    @property
    def price(self) -> Price | None:
        return self.known_prices.price_of(self.model)
