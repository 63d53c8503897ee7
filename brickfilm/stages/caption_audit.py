"""Check every caption by its prompt's own rules; ask once more about those that break one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from brickfilm.captions.answers import caption_from_answer
from brickfilm.captions.completion import CaptionStage, max_request_cost, request_caption
from brickfilm.captions.lint import rules as lint
from brickfilm.captions.prompts import load_prompt
from brickfilm.captions.refusals import find_refusal
from brickfilm.captions.reply_format import DESCRIBED, REFUSAL, format_reply
from brickfilm.captions.request import CaptionRequest
from brickfilm.digest import digest_of
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.errors import Rejected
from brickfilm.records import Clip, Image

ClipOrImage = Clip | Image
DEFAULT_PROMPT = "general"


@dataclass(frozen=True)
class CaptionAudit(Stage[ClipOrImage, ClipOrImage]):
    """Captions that break a rule are asked for once more, told what was wrong; then rejected.

    captioner: who wrote the captions, and is asked again, on the same budget. Without one, captions
    that break a rule are rejected at once.
    rules: names of lint rules; those of the captioner's prompts, unless given.

    A clip gets the scores `broke_<rule>` (whether its first caption broke it) and `reasked`.
    """

    version: ClassVar[int] = lint.VERSION
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
        """The caption, and whatever a second one would depend on."""
        asked = self.captioner.caption_request(item).key if self.captioner else []
        return digest_of([_caption_text(item), self.rules_for(item), asked], 32)

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
            yield lambda item: {"broke": self.broken_rules(item, _caption_text(item))}
            return
        with self.captioner.service.connect() as client:

            def compute(item: ClipOrImage) -> Answer:
                broke = self.broken_rules(item, _caption_text(item))
                revision_request = self.revision_request(item)
                if revision_request is None or self.captioner is None:
                    return {"broke": broke}
                second = request_caption(client, revision_request, work, self.captioner.price)
                return {**second, "broke": broke, "still": self.broken_rules(item, second["text"])}

            yield compute

    def apply(self, item: ClipOrImage, answer: Answer) -> Iterable[ClipOrImage | Rejected]:
        if "status" not in answer:
            yield from self._first(item, answer)
        elif answer["status"] != DESCRIBED:
            yield Rejected(f"{item.id}: asked again, {answer['status']}", reason=answer["status"])
        elif words := find_refusal(answer["text"]):
            yield Rejected(f"{item.id}: asked again, refused ({words!r})", reason=REFUSAL)
        elif answer["still"]:
            yield _rejection(item, answer["still"], "asked again, it still breaks")
        else:
            said = caption_from_answer(answer, item.caption.prompt_digest if item.caption else "")
            yield self._scored(replace(item, caption=said), answer["broke"], reasked=True)

    def _first(self, item: ClipOrImage, answer: Answer) -> Iterable[ClipOrImage | Rejected]:
        if answer["broke"]:
            yield _rejection(item, answer["broke"], "breaks")
        else:
            yield self._scored(item, [], reasked=False)

    def _scored(self, item: ClipOrImage, broke: Iterable[str], *, reasked: bool) -> ClipOrImage:
        if isinstance(item, Image):
            return item
        marks = {f"broke_{rule}": float(rule in broke) for rule in self.rules_for(item)}
        return item.with_scores(**marks, reasked=float(reasked))

    def broken_rules(self, item: ClipOrImage, words: str) -> list[str]:
        """Names of the rules that a caption of this item breaks."""
        return sorted({f.rule for f in self.findings(item, words)})

    def findings(self, item: ClipOrImage, words: str) -> list[lint.Finding]:
        if not _is_described(item):
            return []  # no caption: RefusalFilter's to drop
        prompt = self.captioner.prompt_of(item).text if self.captioner else ""
        return lint.lint(words, self.rules_for(item), prompt)

    def revision_request(self, item: ClipOrImage) -> CaptionRequest | None:
        """The question to ask once more; None where nothing is wrong, or nobody can be asked."""
        findings = self.findings(item, _caption_text(item))
        if self.captioner is None or not findings:
            return None
        told = lint.revision_prompt(findings)
        return self.captioner.caption_request(item).with_revision(
            format_reply(_caption_text(item)), told
        )

    def rules_for(self, item: ClipOrImage) -> tuple[str, ...]:
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
    """Counted under the first rule, so that reasons stay few."""
    return Rejected(f"{item.id}: {what} {', '.join(rules)}", reason=f"audit: {rules[0]}")
