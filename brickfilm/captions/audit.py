"""Count how often captions broke the audit's rules, for the report and the dataset card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.captions.reply_format import DESCRIBED
from brickfilm.engine.ledger import latest_answers


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
    answers = latest_answers(work, "CaptionAudit")
    if not answers:
        return None
    first = Counter(rule for answer in answers for rule in answer["broke"])
    revised = [answer for answer in answers if "status" in answer]
    accepted = [a for a in revised if a["status"] == DESCRIBED and not a["still"]]
    return AuditRates(
        captions=len(answers),
        asked_again=len(revised),
        rejected=sum(bool(answer["broke"]) for answer in answers) - len(accepted),
        rules=[RuleRate(rule, count) for rule, count in first.most_common()],
    )
