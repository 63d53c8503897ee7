"""Money that may have been spent: it is said, kept within the budget, and given back on request."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from brickfilm.cli import app
from brickfilm.engine.batch_jobs import BatchJobManager
from brickfilm.engine.ledger import Ledger, spend_frame, unknown_cost
from brickfilm.engine.pipeline import Pipeline
from brickfilm.errors import WorkdirBusy
from brickfilm.stages import GPT4oCaptioner
from tests.kit.captions import ClipSource, batch_build, clip, count_results, run_captions
from tests.kit.servers.openai import MALFORMED, CaptionServer, LostReply, described


def captioner(server: CaptionServer, **settings: Any) -> GPT4oCaptioner:
    defaults = {"timeout": 5.0, "total_timeout": 10.0, "concurrency": 1}
    return GPT4oCaptioner(base_url=server.url, **defaults | settings)


def status(work: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["status", str(work), *options], catch_exceptions=False)
    assert result.exit_code == 0
    return " ".join(result.stdout.split())


def test_a_bad_line_fills_the_budget_until_it_is_released(
    server: CaptionServer, tmp_path: Path
) -> None:
    stage = captioner(server)
    one = stage.worst_case_cost(stage.request(clip(0, tmp_path)))
    limited = captioner(server, max_cost_usd=3.5 * one)
    source = ClipSource(9, tmp_path)
    server.script = lambda request: LostReply()
    run_captions(tmp_path, source, limited)
    assert unknown_cost(tmp_path) == (3, pytest.approx(3 * one))
    server.script = described
    stuck = run_captions(tmp_path, source, limited)
    assert count_results(stuck, "GPT4oCaptioner") == {"waiting: budget": 9}
    (message,) = {r.message for r in stuck.item_results if r.status == "waiting"}
    assert f"with ${3 * one:.2f} of 3 requests without a response" in message
    assert "or see `brickfilm status`" in message
    said = status(tmp_path)
    assert "3 requests got no response" in said
    assert f"at most ${3 * one:,.4f} stays reserved" in said
    assert "--release-unknown" in said
    assert f"released 3 requests without a response, ${3 * one:,.4f}" in status(
        tmp_path, "--release-unknown"
    )
    assert "got no response" not in status(tmp_path)
    assert unknown_cost(tmp_path) == (0, 0.0)
    assert "released" in set(spend_frame(tmp_path).model)
    assert len(run_captions(tmp_path, source, limited).finished) > 0


def test_nothing_is_released_while_a_build_runs(server: CaptionServer, tmp_path: Path) -> None:
    run_captions(tmp_path, ClipSource(1, tmp_path), captioner(server))
    with Ledger(tmp_path), pytest.raises(WorkdirBusy):
        CliRunner().invoke(
            app, ["status", str(tmp_path), "--release-unknown"], catch_exceptions=False
        )


def test_a_job_without_one_usable_answer_is_the_last(server: CaptionServer, tmp_path: Path) -> None:
    server.script = lambda request: MALFORMED
    stage = captioner(server, mode="batch", poll_seconds=0.02)
    run = batch_build(tmp_path, ClipSource(25, tmp_path), stage)
    assert count_results(run, "GPT4oCaptioner") == {"failed: malformed answer": 25}
    assert len(server.requests) == 25  # and not three times as many
    assert spend_frame(tmp_path).settled.sum() == pytest.approx(server.bill)


def test_an_open_job_is_no_unknown_cost(server: CaptionServer, tmp_path: Path) -> None:
    server.batches.polls = 1000
    stage = captioner(server, mode="batch", poll_seconds=0.02)
    batch_build(tmp_path, ClipSource(3, tmp_path), stage, wait=False)
    assert spend_frame(tmp_path).unsettled.sum() > 0
    assert unknown_cost(tmp_path) == (0, 0.0)
    with Ledger(tmp_path) as ledger:
        assert ledger.release_unknown() == (0, 0.0)


def backdate_jobs(work: Path, hours: float) -> None:
    with closing(sqlite3.connect(work / "ledger.sqlite")) as db, db:
        db.execute("UPDATE jobs SET at = at - ?", (3600 * hours,))


def test_a_job_older_than_two_days_can_be_released(server: CaptionServer, tmp_path: Path) -> None:
    server.batches.polls = 1000
    stage = captioner(server, mode="batch", poll_seconds=0.02)
    batch_build(tmp_path, ClipSource(3, tmp_path), stage, wait=False)
    reserved = spend_frame(tmp_path).unsettled.sum()
    backdate_jobs(tmp_path, 47)
    said = status(tmp_path, "--release-unknown")
    assert "released 0 requests" in said
    assert "Open batch jobs: 1 with 3 requests, the oldest 47 h old" in said
    assert f"At most ${reserved:,.4f} stays reserved until the next build" in said
    backdate_jobs(tmp_path, 2)
    assert f"released 3 requests without a response, ${reserved:,.4f}" in status(
        tmp_path, "--release-unknown"
    )
    assert "Open batch jobs" not in status(tmp_path)
    assert spend_frame(tmp_path).unsettled.sum() == 0
    server.batches.polls = 1
    again = batch_build(tmp_path, ClipSource(3, tmp_path), stage)
    assert (len(again.finished), len(server.batches.jobs)) == (3, 2)


def test_a_job_that_the_service_has_lost_is_an_unknown_cost(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.batches.polls = 2
    stage = captioner(server, mode="batch", poll_seconds=0.02)
    batch_build(tmp_path, ClipSource(3, tmp_path), stage, wait=False)
    assert len(server.requests) == 0
    reserved = spend_frame(tmp_path).unsettled.sum()
    server.batches.jobs.clear()
    run = batch_build(tmp_path, ClipSource(3, tmp_path), stage)
    assert len(run.finished) == 3  # in a second job
    assert unknown_cost(tmp_path) == (3, pytest.approx(reserved))


def test_jobs_of_other_settings_are_collected_and_settled(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.batches.polls = 2
    first = captioner(server, mode="batch", poll_seconds=0.02)
    batch_build(tmp_path, ClipSource(3, tmp_path), first, wait=False)
    assert len(server.requests) == 0
    other = captioner(server, mode="batch", poll_seconds=0.02, image_size=256)
    assert len(batch_build(tmp_path, ClipSource(3, tmp_path), other).finished) == 3
    spend = spend_frame(tmp_path)
    assert (spend.unsettled.sum(), spend.settled.sum()) == (0, pytest.approx(server.bill))
    asked = len(server.requests)
    batch_build(tmp_path, ClipSource(3, tmp_path), first)
    assert len(server.requests) == asked  # the first job's answers were kept


def test_what_an_open_job_will_answer_is_not_asked_one_by_one(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.batches.polls = 2
    jobs = captioner(server, mode="batch", poll_seconds=0.02)
    batch_build(tmp_path, ClipSource(3, tmp_path), jobs, wait=False)
    assert len(server.requests) == 0
    single = captioner(server, poll_seconds=0.02)
    assert len(batch_build(tmp_path, ClipSource(5, tmp_path), single).finished) == 5
    assert len(server.requests) == 5
    assert spend_frame(tmp_path).unsettled.sum() == 0


def test_cancelling_ends_though_a_job_of_other_settings_is_lost(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.batches.polls = 1000
    first = captioner(server, mode="batch", poll_seconds=0.02)
    batch_build(tmp_path, ClipSource(2, tmp_path), first, wait=False)
    other = captioner(server, mode="batch", poll_seconds=0.02, image_size=256)
    batch_build(tmp_path, ClipSource(3, tmp_path), other, wait=False)
    del server.batches.jobs["batch_0"]
    pipeline = Pipeline.from_stages(ClipSource(3, tmp_path), [other])
    with Ledger(tmp_path) as ledger, BatchJobManager(pipeline, ledger) as batch_jobs:
        batch_jobs.cancel(lambda message: None)
        (lost,) = ledger.open_jobs()
    assert lost.part == first.digest
