"""The captions of a build as the command line names them, and the stages that they mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brickfilm.build.plan_file import Plan
from brickfilm.captions.backend import JsonMode
from brickfilm.captions.backends import OpenAIBackend, TransformersBackend
from brickfilm.engine.calls import AnyStage
from brickfilm.errors import UsageError
from brickfilm.stages import Captioner, RefusalFilter, SidecarCaptioner

DEFAULT_MODEL = "gpt-4o"
DEFAULT_PROMPT = "general"
FIRST_DEFAULT_PROMPT = "bricks"
"""Prompt of builds before plans recorded it."""
WORDS = ("sidecar", "none")


@dataclass(frozen=True, kw_only=True)
class CaptionOptions:
    """Options of `brickfilm build` about captions."""

    captions: str | None = None
    """MODEL, local:PATH, sidecar, sidecar:FILE or none; by default DEFAULT_MODEL."""
    base_url: str | None = None
    prompt: str | None = None
    max_cost_usd: float | None = None
    max_tokens_total: int | None = None
    price_per_million: str | None = None
    """IN,OUT in US dollars."""
    json_mode: JsonMode | None = None
    structured: bool | None = None
    video: bool | None = None

    def stages(self, work: Path | None = None) -> list[AnyStage]:
        """Return the captioning stages; raise UsageError for a word or a value that has none.

        work: a work folder, whose last prompt is the default.
        """
        captions = DEFAULT_MODEL if self.captions is None else self.captions
        kind, colon, rest = captions.partition(":")
        if not captions.strip() or (kind in (*WORDS, "local") and colon and not rest.strip()):
            raise self._unknown()
        if kind in WORDS:
            if given := [flag for flag, value in self.model_options() if value is not None]:
                raise UsageError(f"{given[0]} is for a model, and --captions {kind} asks none")
            if kind == "none" and rest:
                raise self._unknown()
            if kind == "none":
                return []
            return [SidecarCaptioner(table=rest or None), RefusalFilter()]
        return [self._captioner(kind, rest, work), RefusalFilter()]

    @property
    def is_given(self) -> bool:
        """Return True if captions of some kind were asked for."""
        return any(value is not None for _, value in self.options())

    def options(self) -> Iterator[tuple[str, object]]:
        """Yield every option and its value."""
        yield "--captions", self.captions
        yield from self.model_options()

    def model_options(self) -> Iterator[tuple[str, object]]:
        """Yield the options that only a model has, and their values."""
        yield "--base-url", self.base_url
        yield "--prompt", self.prompt
        yield "--max-cost-usd", self.max_cost_usd
        yield "--max-tokens-total", self.max_tokens_total
        yield "--price-per-million", self.price_per_million
        yield "--captions-json-mode", self.json_mode
        yield "--structured", self.structured
        yield "--video", self.video

    def _captioner(self, kind: str, rest: str, work: Path | None) -> Captioner:
        local = kind == "local"
        model = rest if local else ":".join(filter(None, (kind, rest)))
        if local and (self.base_url is not None or self.json_mode is not None or self.video):
            raise UsageError(
                "--captions local: runs the model in this process: leave out --base-url, "
                "--captions-json-mode and --video"
            )
        meant = difflib.get_close_matches(model.lower(), WORDS, n=1, cutoff=0.8)
        if meant and self.base_url is None:
            raise self._unknown()
        return Captioner(
            model=model,
            backend=TransformersBackend() if local else OpenAIBackend(),
            prompt=self.prompt or last_prompt(work) or DEFAULT_PROMPT,
            max_cost_usd=self.max_cost_usd,
            max_tokens_total=self.max_tokens_total,
            price_per_million=_parse_price(self.price_per_million),
            base_url=self.base_url,
            json_mode=self.json_mode or "auto",
            structured=_or_last(self.structured, "structured", work),
            video=_or_last(self.video, "video", work),
        )

    def _unknown(self) -> UsageError:
        return UsageError(
            f"--captions {self.captions!r} is not known: give a model, local:PATH, sidecar, "
            "sidecar:FILE or none"
        )


def _parse_price(text: str | None) -> tuple[float, float] | None:
    """Return the US dollars per million tokens in and out of 'IN,OUT'."""
    if text is None:
        return None
    try:
        given, received = map(float, text.split(","))
    except ValueError:
        raise UsageError(
            f"--price-per-million {text!r}: give US dollars for input and output, as 0.5,1.5"
        ) from None
    return given, received


def last_prompt(work: Path | None) -> str | None:
    """Return the prompt of the last build in a work folder: another one would caption all again."""
    settings = _last_captioner(work)
    return None if settings is None else str(settings.get("prompt", FIRST_DEFAULT_PROMPT))


def _or_last(given: bool | None, setting: str, work: Path | None) -> bool:
    """Return an option, or if it is not given that of the last build in a work folder."""
    last = _last_captioner(work) or {}
    return bool(last.get(setting, False)) if given is None else given


def _last_captioner(work: Path | None) -> Mapping[str, Any] | None:
    plan = Plan.read(work) if work else None
    found = (plan.settings(name) for name in ("Captioner", "GPT4oCaptioner")) if plan else ()
    return next((settings for settings in found if settings is not None), None)
