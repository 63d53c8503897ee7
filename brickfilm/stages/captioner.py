"""Caption clips and images with a vision model of any backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from brickfilm.captions.answers import caption_from_answer
from brickfilm.captions.backend import BatchBackend, Detail
from brickfilm.captions.completion import max_request_cost, open_captioning
from brickfilm.captions.forecast import TYPICAL_CAPTION, forecast_cost, measured_usage
from brickfilm.captions.model_service import ModelService
from brickfilm.captions.prompts import Prompt, load_prompt
from brickfilm.captions.request import CaptionRequest, ClipOrImage, RequestParams
from brickfilm.digest import digest_of, field_added_later
from brickfilm.engine.capabilities import Batched, BatchService, DryRun, Paid
from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import Rejected, UsageError
from brickfilm.records import Caption, Clip, Image, with_fields

PLANNED = {"planned": True}
"""Mark of a field that the plan file records though no digest holds it."""
MAX_TOKENS = 400
REASONING_TOKENS = {"minimal": 600, "low": 2_000, "medium": 8_000, "high": 24_000}
"""Allowance for hidden reasoning by effort: a reply that it fills up has no caption."""


@dataclass(frozen=True, kw_only=True)
class Captioner(ModelService, Stage[ClipOrImage, ClipOrImage], Paid, Batched, DryRun):
    """Add captions from a vision model: of the OpenAI API, of any server, or of another backend.

    Answers are stored by the stills' bytes, the prompt's text, the model and its parameters, and
    never paid for twice. An item without a caption keeps its status for `RefusalFilter`.
    """

    input_types = (Clip, Image)
    provides = ("caption",)

    prompt: str = field(default="general", compare=False, metadata=PLANNED)
    """Name or Markdown file of the prompt. Its text, not its name, is part of every key."""
    image_prompt: str | None = field(default=None, compare=False)
    """Prompt for images; by default the one of the same name."""
    image_size: int = 512
    image_quality: int = 85
    detail: Detail = "high"
    max_tokens: int = MAX_TOKENS
    """Of the reply, reasoning included; the default grows with the reasoning effort."""
    temperature: float | None = None
    reasoning_effort: str | None = None
    """By default the lowest that the price list has for the model."""
    structured: bool = field_added_later(False)
    """Ask for the caption and its aspects in one answer, which exporters render in several styles.
    It adds a paragraph to the prompt, whose text is part of every key."""

    video: bool = field_added_later(False)
    """Send each clip's own file (`video_url`) in place of its stills, to a server that reads videos
    (vLLM, SGLang). The server samples it as it is set up. Images are sent as they are."""

    mode: Literal["sync", "batch"] = field(default="sync", compare=False)
    """One request at a time, or in jobs of the Batch API: half the price, within a day."""
    poll_seconds: float = field(default=30.0, compare=False)

    def request(self, item: ClipOrImage) -> CaptionRequest:
        """Return the request for an item."""
        request = CaptionRequest.for_item(item, self.prompt_of(item), self.request_params)
        return request.with_video(item) if self.video and isinstance(item, Clip) else request

    @property
    def requires(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("stills", "path") if self.video else ("stills",)

    def key(self, request: CaptionRequest) -> str:
        return digest_of(request.key, 32)

    def worst_case_cost(self, request: CaptionRequest) -> float:
        has_budget = self.budget is not None
        max_cost = max_request_cost(request, self.price, has_budget=has_budget)
        return max_cost * (self.known_prices.batch_discount if self.uses_batch_jobs else 1.0)

    def check(self) -> None:
        """Raise UsageError if a key, an extra or a prompt is missing; warn of a shutdown."""
        if self.uses_batch_jobs and not isinstance(self.backend, BatchBackend):
            raise UsageError(f"mode='batch': {self.backend} has no batch jobs: use mode='sync'")
        if self.video and not self.backend.capabilities.video:
            raise UsageError(f"video=True: {self.backend} takes no videos: leave it out")
        if self.uses_batch_jobs and self.max_tokens_total is not None:
            raise UsageError("max_tokens_total cannot limit batch jobs: use max_cost_usd")
        load_prompt(self.prompt, "clips").render((0.5,))
        load_prompt(self.image_prompt or self.prompt, "images").render((0.5,))
        super().check()

    @property
    def names_rules(self) -> bool:
        """True if the prompt for clips or for images names lint rules."""
        prompts = load_prompt(self.prompt), load_prompt(self.image_prompt or self.prompt, "images")
        return any(prompt.rules for prompt in prompts)

    @property
    def uses_batch_jobs(self) -> bool:
        return self.mode == "batch"

    def open_batch_service(self, work: Path) -> AbstractContextManager[BatchService]:
        assert isinstance(self.backend, BatchBackend)  # `check` has seen to it
        return self.backend.connect_batch(self, work)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[CaptionRequest], Answer]]:
        with open_captioning(self, work) as ask:
            yield ask

    def apply(self, item: ClipOrImage, answer: Answer) -> Iterable[ClipOrImage | Rejected]:
        caption = caption_from_answer(answer, self.prompt_of(item).digest)
        if isinstance(item, Clip) and answer.get("prose"):
            item = item.with_scores(prose_reply=1.0)
        yield with_fields(item, caption=caption)

    def simulate(self, item: ClipOrImage) -> Iterable[ClipOrImage]:
        """Yield the item with a caption of typical length, for the forecast of later stages."""
        yield with_fields(item, caption=Caption(text=TYPICAL_CAPTION, model=self.model))

    def forecast(self, items: Sequence[ClipOrImage], work: Path) -> str:
        usage = measured_usage(work, self.digest)
        return str(forecast_cost(self, items, usage, use_batch=self.uses_batch_jobs))

    def prompt_of(self, item: ClipOrImage) -> Prompt:
        if isinstance(item, Image):
            prompt = load_prompt(self.image_prompt or self.prompt, "images")
        else:
            prompt = load_prompt(self.prompt, "clips")
            prompt = prompt.of_video() if self.video else prompt
        return prompt.structured() if self.structured else prompt

    @cached_property
    def request_params(self) -> RequestParams:
        effort = self.reasoning_effort or (self.price.effort if self.price else None)
        allowance = REASONING_TOKENS.get(effort or "", 0) if self.max_tokens == MAX_TOKENS else 0
        return RequestParams(
            model=self.model,
            image_size=self.image_size,
            image_quality=self.image_quality,
            detail=self.detail,
            max_tokens=self.max_tokens + allowance,
            temperature=self.temperature,
            reasoning_effort=effort,
        )


@dataclass(frozen=True, kw_only=True)
class GPT4oCaptioner(Captioner):
    """Caption with GPT-4o and the prompt for brick films, unless told otherwise."""

    model: str = "gpt-4o"
    prompt: str = field(default="bricks", compare=False, metadata=PLANNED)
