"""Check every caption against lint rules; request a second one if a rule is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from brickfilm.captions.answers import caption_from_answer
from brickfilm.captions.completion import CaptionStage, max_request_cost, open_captioning
from brickfilm.captions.lint import RULES_VERSION, WHOLE_CAPTION, Finding, lint, revision_prompt
from brickfilm.captions.prompts import load_prompt
from brickfilm.captions.refusals import find_refusal
from brickfilm.captions.reply_format import DESCRIBED, REFUSAL, format_reply
from brickfilm.captions.request import CaptionRequest, ClipOrImage
from brickfilm.digest import digest_of
from brickfilm.engine.capabilities import Checked, Paid
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.errors import Rejected, UsageError
from brickfilm.records import Clip, Image, with_fields

DEFAULT_PROMPT = "general"


@dataclass(frozen=True)
class CaptionAudit(Stage[ClipOrImage, ClipOrImage], Paid, Checked):
    """Request a second caption if the first breaks a rule; reject the item if it does so again.

    captioner: the stage that wrote the captions and writes the second ones, on the same budget.
    Without one, items whose caption breaks a rule are rejected at once.
    rules: names of lint rules; by default those of the captioner's prompts.

    A clip gets the scores `broke_<rule>` (1 if its first caption broke it) and `reasked`.
    """

    version: ClassVar[int] = 1
    input_types = (Clip, Image)
    requires = ("caption",)

    captioner: CaptionStage | None = None
    rules: tuple[str, ...] = ()

    @property
    def resources(self) -> Resources:
        return (
            self.captioner.resources if self.captioner else Resources(pool="thread", concurrency=4)
        )

    @property
    def budget(self) -> float | None:
        return self.captioner.budget if self.captioner else None

    @property
    def budget_group(self) -> tuple[str, ...]:
        return self.captioner.budget_group if self.captioner else (self.name,)

    def check(self) -> None:
        """Raise UsageError for a rule that does not exist, or if there is none to check."""
        lint("", self.rules)
        if self.captioner and not self.rules and not self.captioner.names_rules:
            raise UsageError(
                f"CaptionAudit: prompt {self.captioner.prompt!r} names no rules: add "
                "`rules: [medium, ...]` to its front matter, or give CaptionAudit(rules=...)"
            )

    def request(self, item: ClipOrImage) -> AuditRequest:
        """Return the check of an item's caption, with the captioner's request for the item."""
        return AuditRequest(self, item, self.captioner.request(item) if self.captioner else None)

    def key(self, request: AuditRequest) -> str:
        """Digest the caption, the rules, and the request for a second caption."""
        request_key = request.caption_request.key if request.caption_request else []
        item = request.item
        aspects = _aspects(item)
        texts = [_caption_text(item), aspects] if aspects else [_caption_text(item)]
        return digest_of([*texts, self.rules_for(item), request_key], 32)

    def worst_case_cost(self, request: AuditRequest) -> float | None:
        if self.captioner is None or request.revision is None:
            return None
        return max_request_cost(
            request.revision, self.captioner.price, has_budget=self.budget is not None
        )

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[AuditRequest], Answer]]:
        if self.captioner is None:
            yield lambda request: {"broke": request.broke, "lint": RULES_VERSION}
            return
        with open_captioning(self.captioner, work) as ask:

            def compute(request: AuditRequest) -> Answer:
                if request.revision is None:
                    return {"broke": request.broke}
                answer = ask(request.revision)
                texts = answer["text"], *answer.get("aspects", {}).values()
                still = _rule_names(self.findings(request.item, *texts))
                return {**answer, "broke": request.broke, "still": still}

            yield compute

    def apply(self, item: ClipOrImage, answer: Answer) -> Iterable[ClipOrImage | Rejected]:
        if self.captioner is None and answer.get("lint", 1) != RULES_VERSION:
            answer = {"broke": self.request(item).broke}  # the lint has changed since
        if "status" not in answer:
            yield from self._apply_first(item, answer)
        elif answer["status"] != DESCRIBED:
            yield Rejected(
                f"{item.id}: second caption: {answer['status']}", reason=answer["status"]
            )
        elif refusal := find_refusal(answer["text"]):
            yield Rejected(f"{item.id}: second caption: refused ({refusal!r})", reason=REFUSAL)
        elif answer["still"]:
            yield _rejection(item, answer["still"], "second caption breaks")
        else:
            prompt_digest = item.caption.prompt_digest if item.caption else ""
            revised = with_fields(item, caption=caption_from_answer(answer, prompt_digest))
            yield self._scored(revised, answer["broke"], reasked=True)

    def _apply_first(self, item: ClipOrImage, answer: Answer) -> Iterable[ClipOrImage | Rejected]:
        if answer["broke"]:
            yield _rejection(item, answer["broke"], "caption breaks")
        else:
            yield self._scored(item, [], reasked=False)

    def _scored(self, item: ClipOrImage, broke: Iterable[str], *, reasked: bool) -> ClipOrImage:
        if isinstance(item, Image):
            return item
        scores = {f"broke_{rule}": float(rule in broke) for rule in self.rules_for(item)}
        return item.with_scores(**scores, reasked=float(reasked))

    def findings(self, item: ClipOrImage, caption: str, *aspects: str) -> list[Finding]:
        """Lint a caption of this item and its aspects, unless there is none or a person wrote it.

        Aspects may be several sentences together, or too few words to tell their language.
        """
        if not _is_described(item):
            return []
        prompt = self.captioner.prompt_of(item).text if self.captioner else ""
        rules = self.rules_for(item)
        of_aspects = [rule for rule in rules if rule not in WHOLE_CAPTION]
        more = [finding for text in aspects for finding in lint(text, of_aspects, prompt)]
        return lint(caption, rules, prompt) + more

    def rules_for(self, item: ClipOrImage) -> tuple[str, ...]:
        """Return the rules for an item: our own, else its prompt's."""
        if self.rules:
            return self.rules
        if self.captioner:
            return self.captioner.prompt_of(item).rules
        return load_prompt(DEFAULT_PROMPT, "images" if isinstance(item, Image) else "clips").rules


@dataclass(frozen=True)
class AuditRequest:
    """The check of one caption: its findings, and the request for a second caption."""

    audit: CaptionAudit
    item: ClipOrImage
    caption_request: CaptionRequest | None
    """The captioner's request for the item; None without a captioner."""

    @cached_property
    def findings(self) -> list[Finding]:
        return self.audit.findings(
            self.item, _caption_text(self.item), *_aspects(self.item).values()
        )

    @property
    def broke(self) -> list[str]:
        """Names of the rules that the caption breaks."""
        return _rule_names(self.findings)

    @cached_property
    def revision(self) -> CaptionRequest | None:
        """The request for a second caption; None if not needed, or without a captioner."""
        if self.caption_request is None or not self.findings:
            return None
        return self.caption_request.with_revision(
            format_reply(_caption_text(self.item), _aspects(self.item)),
            revision_prompt(self.findings),
        )


def _rule_names(findings: Iterable[Finding]) -> list[str]:
    return sorted({finding.rule for finding in findings})


def _is_described(item: ClipOrImage) -> bool:
    caption = item.caption
    return caption is not None and caption.status == DESCRIBED and not caption.is_edited


def _caption_text(item: ClipOrImage) -> str:
    return item.caption.text if item.caption else ""


def _aspects(item: ClipOrImage) -> Mapping[str, str]:
    return item.caption.aspects if item.caption else {}


def _rejection(item: Any, rules: list[str], what: str) -> Rejected:
    """Reject with the first rule as the reason, so that there are few reasons."""
    return Rejected(f"{item.id}: {what} {', '.join(rules)}", reason=f"audit: {rules[0]}")
