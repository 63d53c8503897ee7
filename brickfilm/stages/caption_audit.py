"""Check every caption against lint rules; request a second one if a rule is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from brickfilm.captions.answers import caption_from_answer
from brickfilm.captions.completion import CaptionStage, max_request_cost, request_caption
from brickfilm.captions.lint import RULES_VERSION, Finding, lint, revision_prompt
from brickfilm.captions.prompts import load_prompt
from brickfilm.captions.refusals import find_refusal
from brickfilm.captions.reply_format import DESCRIBED, REFUSAL, format_reply
from brickfilm.captions.request import CaptionRequest, ClipOrImage
from brickfilm.digest import digest_of
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.errors import Rejected
from brickfilm.records import Clip, Image

DEFAULT_PROMPT = "general"


@dataclass(frozen=True)
class CaptionAudit(Stage[ClipOrImage, ClipOrImage]):
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

    def key(self, item: ClipOrImage) -> str:
        """Digest the caption, the rules, and the request for a second caption."""
        request_key = self.captioner.caption_request(item).key if self.captioner else []
        return digest_of([_caption_text(item), self.rules_for(item), request_key], 32)

    def worst_case_cost(self, item: ClipOrImage) -> float | None:
        revision_request = self.revision_request(item)
        if self.captioner is None or revision_request is None:
            return None
        return max_request_cost(
            revision_request, self.captioner.price, has_budget=self.budget is not None
        )

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[ClipOrImage], Answer]]:
        if self.captioner is None:
            yield self._free_verdict
            return
        with self.captioner.backend.connect(self.captioner.service) as backend:

            def compute(item: ClipOrImage) -> Answer:
                broke = self.broken_rules(item, _caption_text(item))
                revision_request = self.revision_request(item)
                if revision_request is None or self.captioner is None:
                    return {"broke": broke}
                answer = request_caption(backend, revision_request, work, self.captioner.price)
                return {**answer, "broke": broke, "still": self.broken_rules(item, answer["text"])}

            yield compute

    def _free_verdict(self, item: ClipOrImage) -> Answer:
        return {"broke": self.broken_rules(item, _caption_text(item)), "lint": RULES_VERSION}

    def apply(self, item: ClipOrImage, answer: Answer) -> Iterable[ClipOrImage | Rejected]:
        if self.captioner is None and answer.get("lint", 1) != RULES_VERSION:
            answer = self._free_verdict(item)  # of an older lint; what was paid for stays
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
            revised = replace(item, caption=caption_from_answer(answer, prompt_digest))
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

    def broken_rules(self, item: ClipOrImage, caption: str) -> list[str]:
        """Return the names of the rules that a caption of this item breaks."""
        return sorted({f.rule for f in self.findings(item, caption)})

    def findings(self, item: ClipOrImage, caption: str) -> list[Finding]:
        """Lint a caption of this item; items without a caption are left to RefusalFilter."""
        if not _is_described(item):
            return []
        prompt = self.captioner.prompt_of(item).text if self.captioner else ""
        return lint(caption, self.rules_for(item), prompt)

    def revision_request(self, item: ClipOrImage) -> CaptionRequest | None:
        """Return the request for a second caption; None if not needed, or without a captioner."""
        findings = self.findings(item, _caption_text(item))
        if self.captioner is None or not findings:
            return None
        return self.captioner.caption_request(item).with_revision(
            format_reply(_caption_text(item)), revision_prompt(findings)
        )

    def rules_for(self, item: ClipOrImage) -> tuple[str, ...]:
        """Return the rules for an item: our own, else its prompt's."""
        if self.rules:
            return self.rules
        if self.captioner:
            return self.captioner.prompt_of(item).rules
        return load_prompt(DEFAULT_PROMPT, "images" if isinstance(item, Image) else "clips").rules


def _is_described(item: ClipOrImage) -> bool:
    return item.caption is not None and item.caption.status == DESCRIBED


def _caption_text(item: ClipOrImage) -> str:
    return item.caption.text if item.caption else ""


def _rejection(item: Any, rules: list[str], what: str) -> Rejected:
    """Reject with the first rule as the reason, so that there are few reasons."""
    return Rejected(f"{item.id}: {what} {', '.join(rules)}", reason=f"audit: {rules[0]}")
