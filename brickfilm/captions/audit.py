"""Count how often captions broke the audit's rules, for the report and the dataset card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.captions.reply_format import DESCRIBED
from brickfilm.engine.ledger import latest_answers
from brickfilm.engine.stage import Answer


@dataclass(frozen=True)
class RuleRate:
    """Captions that broke a rule as first written; none that still breaks one is in the dataset."""

    rule: str
    first: int


@dataclass(frozen=True)
class AuditRates:
    """Totals over every caption that the audit of a work folder has checked."""

    captions: int
    asked_again: int
    rejected: int
    rules: Sequence[RuleRate]


def audit_rates(work: Path) -> AuditRates | None:
    """Return the rates of the last audit in a work folder; None if there was none."""
    return latest_answers(work, "CaptionAudit", _count)


def _count(answers: Iterable[Answer]) -> AuditRates | None:
    counts, first = Counter[str](), Counter[str]()
    for answer in answers:
        counts["captions"] += 1
        counts["broken"] += bool(answer["broke"])
        first.update(answer["broke"])
        if "status" in answer:
            counts["revised"] += 1
            counts["accepted"] += answer["status"] == DESCRIBED and not answer["still"]
    if not counts["captions"]:
        return None
    return AuditRates(
        captions=counts["captions"],
        asked_again=counts["revised"],
        rejected=counts["broken"] - counts["accepted"],
        rules=[RuleRate(rule, count) for rule, count in first.most_common()],
    )
