"""`brickfilm status`: results by stage, failures, stored answers and cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from brickfilm.cli.app import app, console, print_text
from brickfilm.schema.plural import pluralize

if TYPE_CHECKING:
    import pandas as pd

MAX_FAILURES = 20
MAX_NAMES = 10


@app.command()
def status(
    folder: Annotated[Path, typer.Argument(help="the --out folder of a build")],
    release_unknown: Annotated[
        bool,
        typer.Option(
            "--release-unknown",
            help="book requests without a response at 0, after you have compared the bill",
        ),
    ] = False,
    if_: Annotated[
        list[str] | None,
        typer.Option(
            "--if", metavar="BOUND", help="recount the clips by a bound, as 'motion>=0.05', or set"
        ),
    ] = None,
) -> None:
    """Print results by stage, failures, stored answers and cost of a build."""
    if if_:
        print_recount(folder, if_)
        return
    if release_unknown:
        console.print(release_unknown_cost(folder), highlight=False)
    console.print(*status_tables(folder))
    for note in filter(None, (open_jobs_note(folder), unknown_cost_note(folder))):
        console.print(note, highlight=False, soft_wrap=True)


def print_recount(folder: Path, bounds: list[str]) -> None:
    """Print how many clips meet bounds, by their present status and reason."""
    from brickfilm.build.keep_options import keeps_of
    from brickfilm.inspection import recount

    keeps = keeps_of(bounds)
    rows = recount(folder, keeps)
    table = Table("clips now", "reason", "clips", "meet it", "footage that does", "not measured")
    for row in rows.to_dict("records"):
        numbers = (row["clips"], row["meet"])
        footage = f"{row['seconds_meet']:.1f} of {row['seconds']:.1f} s"
        cells = (*map(str, numbers), footage, str(row["not_measured"] or ""))
        table.add_row(row["status"], row["reason"], *cells)
    console.print(table)
    kept = rows[rows.status == "kept"]
    named = tuple(f"{keep.score} " for keep in keeps)
    freed = rows[(rows.status == "rejected") & rows.reason.str.startswith(named)]
    print_text(
        f"with {' and '.join(bounds)}: {kept.meet.sum():,} of {kept.clips.sum():,} clips of the "
        f"dataset stay, and {freed.meet.sum():,} that these scores reject now would go on to the "
        "later stages. Nothing was changed"
    )


def release_unknown_cost(folder: Path) -> str:
    """Book requests without a response at 0; return what was given back."""
    from brickfilm.engine.ledger import Ledger, unknown_cost

    unknown_cost(folder)  # raises UsageError where there is no ledger to open
    with Ledger(folder) as ledger:
        count, dollars = ledger.release_unknown()
    return f"released {pluralize(count, 'request')} without a response, ${dollars:,.4f}"


def open_jobs_note(folder: Path) -> str:
    """Return what open batch jobs hold and how they end; '' if there is none."""
    from brickfilm.engine.ledger import open_jobs_frame

    jobs = open_jobs_frame(folder)
    if not len(jobs):
        return ""
    return (
        f"Open batch jobs: {len(jobs)} with {int(jobs.requests.sum()):,} requests, the oldest "
        f"{jobs.hours.max():.0f} h old. At most ${jobs.dollars.sum():,.4f} stays reserved until "
        "the next build has collected them, or `brickfilm cancel` has ended them; requests that "
        "failed, expired or were cancelled then cost nothing. --release-unknown gives back what "
        "jobs hold that are older than two days"
    )


def unknown_cost_note(folder: Path) -> str:
    """Return an explanation of what may have been spent; '' if every request was answered."""
    from brickfilm.engine.ledger import unknown_cost

    count, dollars = unknown_cost(folder)
    if not count:
        return ""
    return (
        f"Possibly spent: {pluralize(count, 'request')} got no response (a timeout, a closed "
        f"connection, a killed build). They may have been charged, so at most ${dollars:,.4f} "
        "stays reserved and counts against max_cost_usd. Compare the settled sum with the bill on "
        "the provider's page; if it is complete, give the rest back: brickfilm status "
        f"{quote(str(folder))} --release-unknown"
    )


def status_tables(folder: Path) -> Iterator[Table]:
    """Yield tables of results, failures if any, stored answers, and cost if any."""
    from brickfilm.engine.ledger import answers_frame, ledger_frame, spend_frame

    results = ledger_frame(folder)
    yield _result_table(results)
    failed = results[results.outcome == "failed"]
    if len(failed):
        yield _failure_table(failed)
    passed_over = results[(results.kind == "listing") & (results.outcome == "rejected")]
    if len(passed_over):
        yield _passed_over_table(passed_over)
    yield _answer_table(answers_frame(folder))
    spend = spend_frame(folder)
    if len(spend):
        yield _cost_table(spend)


def _result_table(results: pd.DataFrame) -> Table:
    table = Table("stage", "outcome", "reason", "items", "footage", title="results of the last run")
    keys = ["position", "stage", "outcome", "reason"]
    sums = results.groupby(keys).seconds.agg(["size", "sum"]).reset_index()
    for row in sums.to_dict("records"):
        footage = f"{row['sum']:.1f} s"
        table.add_row(row["stage"], row["outcome"], row["reason"], str(row["size"]), footage)
    return table


def _failure_table(failed: pd.DataFrame) -> Table:
    """Return failures by message, with the videos that they are about."""
    title = "failed items: the next run tries them again"
    table = Table("stage", "items", "error", "videos", title=title)
    messages = [
        _without_names(message, (item, source))
        for message, item, source in zip(
            failed.message, failed["item"], failed.source_id, strict=True
        )
    ]
    groups = list(failed.groupby([failed.stage, messages], sort=False))
    for (stage, message), rows in sorted(groups, key=lambda group: -len(group[1]))[:MAX_FAILURES]:
        names = _names(list(dict.fromkeys(rows.source_id)))
        table.add_row(str(stage), str(len(rows)), str(message), names)
    if len(groups) > MAX_FAILURES:
        table.add_row("", "", f"and {len(groups) - MAX_FAILURES} more", "the report lists them")
    return table


def _without_names(message: str, names: tuple[str, str]) -> str:
    """Return a message without the names of its item, so that equal errors are equal."""
    for name in sorted({*names, *(name.rpartition("/")[2] for name in names)}, key=len)[::-1]:
        message = message.replace(name, "...") if name else message
    return message


def _names(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _passed_over_table(passed_over: pd.DataFrame) -> Table:
    table = Table("reason", "files", "names", title="passed over")
    for reason, rows in passed_over.groupby("reason"):
        table.add_row(str(reason), str(len(rows)), _names(list(rows.source_id)))
    return table


def _answer_table(answers: pd.DataFrame) -> Table:
    table = Table("part", "digest", "answers", "seconds of work", title="stored answers")
    for row in answers.to_dict("records"):
        work = f"{row['seconds']:.1f}"
        table.add_row(row["name"], row["part"], str(row["answers"]), work)
    return table


def _cost_table(spend: pd.DataFrame) -> Table:
    columns = ("stage", "model", "requests", "tokens in", "tokens out", "spent", "possibly spent")
    table = Table(*columns, title="cost")
    for row in spend.fillna(0).to_dict("records"):
        tokens = (f"{row['input_tokens']:.0f}", f"{row['output_tokens']:.0f}")
        dollars = (f"${row['settled']:.4f}", f"${row['unsettled']:.4f}")
        table.add_row(row["stage"], row["model"], str(row["requests"]), *tokens, *dollars)
    return table
