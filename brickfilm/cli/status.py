"""`brickfilm status`: what became of every item, by stage, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from brickfilm.engine.ledger import answers_frame, ledger_frame, spend_frame

if TYPE_CHECKING:
    import pandas as pd

MAX_FAILURES = 20
"""Failed items listed on the terminal."""


def status_tables(folder: Path) -> Iterator[Table]:
    """Outcomes by stage, what failed, answers by part, and money where any was asked for."""
    outcomes = ledger_frame(folder)
    yield _outcome_table(outcomes)
    failed = outcomes[outcomes.outcome == "failed"]
    if len(failed):
        yield _failure_table(failed)
    yield _answer_table(answers_frame(folder))
    spend = spend_frame(folder)
    if len(spend):
        yield _spend_table(spend)


def _outcome_table(outcomes: pd.DataFrame) -> Table:
    table = Table("stage", "outcome", "reason", "items", "footage", title="the last pass")
    keys = ["position", "stage", "outcome", "reason"]
    sums = outcomes.groupby(keys).seconds.agg(["size", "sum"]).reset_index()
    for row in sums.to_dict("records"):
        footage = f"{row['sum']:.1f} s"
        table.add_row(row["stage"], row["outcome"], row["reason"], str(row["size"]), footage)
    return table


def _failure_table(failed: pd.DataFrame) -> Table:
    table = Table("stage", "item", "what is wrong", title="failed: the next run tries again")
    for row in failed.head(MAX_FAILURES).to_dict("records"):
        name = row["source_id"] if row["kind"] in ("listing", "video") else row["item"]
        table.add_row(row["stage"], *(escape(text) for text in (name, row["message"])))
    if len(failed) > MAX_FAILURES:
        table.add_row("", f"and {len(failed) - MAX_FAILURES} more", "the report lists them")
    return table


def _answer_table(answers: pd.DataFrame) -> Table:
    table = Table("part", "digest", "answers", "seconds of work", title="kept answers")
    for row in answers.to_dict("records"):
        work = f"{row['seconds']:.1f}"
        table.add_row(row["name"], row["part"], str(row["answers"]), work)
    return table


def _spend_table(spend: pd.DataFrame) -> Table:
    columns = ("stage", "model", "requests", "tokens in", "tokens out", "spent", "perhaps spent")
    table = Table(*columns, title="money")
    for row in spend.fillna(0).to_dict("records"):
        tokens = (f"{row['input_tokens']:.0f}", f"{row['output_tokens']:.0f}")
        money = (f"${row['settled']:.4f}", f"${row['unsettled']:.4f}")
        table.add_row(row["stage"], row["model"], str(row["requests"]), *tokens, *money)
    return table
