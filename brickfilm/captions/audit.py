"""What an audit found, as rates: for the report and the card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.captions.reply_format import DESCRIBED
from brickfilm.engine.ledger import latest_answers


@dataclass(frozen=True)
class RuleRate:
    """How many captions broke a rule: as first written, and in what was kept."""

    rule: str
    first: int
    kept: int


@dataclass(frozen=True)
class AuditRates:
    """Totals over every caption that the audit has seen in a work folder."""

    captions: int
    asked_again: int
    rejected: int
    rules: Sequence[RuleRate]


def audit_rates(work: Path) -> AuditRates | None:
    """Of the last audit that ran in a work folder; None where none did."""
    answers = latest_answers(work, "CaptionAudit")
    if not answers:
        return None
    first = Counter(rule for answer in answers for rule in answer["broke"])
    again = [answer for answer in answers if "status" in answer]
    mended = [a for a in again if a["status"] == DESCRIBED and not a["still"]]
    kept = Counter(rule for answer in mended for rule in answer["still"])
    return AuditRates(
        captions=len(answers),
        asked_again=len(again),
        rejected=sum(bool(answer["broke"]) for answer in answers) - len(mended),
        rules=[RuleRate(rule, count, kept[rule]) for rule, count in first.most_common()],
    )
