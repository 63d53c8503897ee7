"""Ask a vision model, GPT-4o unless told otherwise, what happens in a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from brickfilm.captions.answers import caption_of
from brickfilm.captions.backends.batch import CaptionJobs
from brickfilm.captions.backends.openai import Service
from brickfilm.captions.completion import ask_once, most_dollars
from brickfilm.captions.forecast import forecast, measured_usage
from brickfilm.captions.pricing import Price, PriceList, price_list
from brickfilm.captions.prompts import Prompt, load
from brickfilm.captions.request import Captioned, Detail, Look, Question
from brickfilm.engine.stage import Answer, Resources, Stage, digest_of
from brickfilm.errors import Rejected
from brickfilm.records import Clip, Image


@dataclass(frozen=True, kw_only=True)
class GPT4oCaptioner(Stage[Captioned, Captioned]):
    """Captions from a vision model behind any service that speaks Chat Completions.

    Every answer is kept under the stills' bytes, the prompt's words, the model and its parameters,
    and never paid for twice. `max_cost_usd` is hard: each request's highest price is set aside
    before it is sent. An answer that is no caption keeps its status; `RefusalFilter` drops it.
    """

    input_types = (Clip, Image)
    requires = ("stills",)
    provides = ("caption",)

    model: str = "gpt-4o"
    prompt: str = field(default="bricks", compare=False)
    """A prompt's name or the path of a Markdown file. Its words, not its name, are in every key."""
    image_prompt: str | None = field(default=None, compare=False)
    """For images; unless given, the prompt of the same name."""
    image_size: int = 512
    image_quality: int = 85
    detail: Detail = "high"
    max_tokens: int = 400
    temperature: float | None = None
    reasoning_effort: str | None = None

    max_cost_usd: float | None = field(default=None, compare=False)
    prices: str | None = field(default=None, compare=False)
    """A price list of your own; the one that comes with the package is dated."""
    base_url: str | None = field(default=None, compare=False)
    key_variable: str = field(default="OPENAI_API_KEY", compare=False)
    proxy: str | None = field(default=None, compare=False, repr=False)
    concurrency: int = field(default=8, compare=False)
    timeout: float = field(default=60.0, compare=False)
    patience: float = field(default=180.0, compare=False)

    mode: Literal["sync", "batch"] = field(default="sync", compare=False)
    """One by one, or in jobs of the Batch API: half the price, an answer within a day."""
    poll_seconds: float = field(default=30.0, compare=False)

    @property
    def resources(self) -> Resources:
        return Resources(pool="thread", concurrency=self.concurrency)

    def key(self, item: Captioned) -> str:
        return digest_of(self.question(item).key, 32)

    @property
    def budget(self) -> float | None:
        return self.max_cost_usd

    @property
    def budget_group(self) -> tuple[str, ...]:
        return (self.name, "CaptionAudit")

    def worst_case_cost(self, item: Captioned) -> float:
        most = most_dollars(self.question(item), self.price, limited=self.budget is not None)
        return most * (self.known_prices.batch_discount if self.uses_batch_jobs else 1.0)

    def check(self) -> None:
        self.service.secret()
        load(self.prompt, "clips")
        load(self.image_prompt or self.prompt, "images")

    @property
    def uses_batch_jobs(self) -> bool:
        return self.mode == "batch"

    @contextmanager
    def open_batch_service(self, work: Path) -> Iterator[CaptionJobs]:
        with self.service.connect() as client:
            yield CaptionJobs(client, self, work, self.known_prices)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Captioned], Answer]]:
        with self.service.connect() as client:
            yield lambda item: ask_once(client, self.question(item), work, self.price)

    def apply(self, item: Captioned, answer: Answer) -> Iterable[Captioned | Rejected]:
        yield replace(item, caption=caption_of(answer, self.prompt_of(item).digest))

    def forecast(self, items: Sequence[Captioned], work: Path) -> str:
        usage = measured_usage(work, self.digest)
        return str(forecast(self, items, usage, in_jobs=self.uses_batch_jobs))

    def question(self, item: Captioned) -> Question:
        """What is asked about an item."""
        return Question.about(item, self.prompt_of(item), self.look)

    def prompt_of(self, item: Captioned) -> Prompt:
        if isinstance(item, Image):
            return load(self.image_prompt or self.prompt, "images")
        return load(self.prompt, "clips")

    @property
    def look(self) -> Look:
        return Look(
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
            key_variable=self.key_variable,
            proxy=self.proxy,
            timeout=self.timeout,
            patience=self.patience,
            concurrency=self.concurrency,
        )

    @property
    def known_prices(self) -> PriceList:
        return price_list(self.prices)

    @property
    def price(self) -> Price | None:
        return self.known_prices.of(self.model)
