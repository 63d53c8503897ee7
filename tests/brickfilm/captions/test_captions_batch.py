"""The Batch API: jobs are submitted once, collected in any order, and survive a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brickfilm.captions.stills import encode_jpeg
from brickfilm.engine.batch_jobs import BatchJobManager
from brickfilm.engine.executors import LocalExecutor
from brickfilm.engine.ledger import Ledger, spend_frame
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.run import PipelineRun
from brickfilm.stages import GPT4oCaptioner, RefusalFilter
from tests.kit.captions import (
    AddImages,
    ClipSource,
    batch_build,
    clip,
    count_results,
    worst_case_cost,
)
from tests.kit.servers.openai import (
    BROKEN,
    MALFORMED,
    CaptionServer,
    ErrorReply,
    answer,
    described,
    digest_of_stills,
    faulty,
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with CaptionServer(polls=2) as running:
        yield running


def captioner(server: CaptionServer, **settings: Any) -> GPT4oCaptioner:
    ours = {"mode": "batch", "poll_seconds": 0.02, "timeout": 10.0, "total_timeout": 10.0}
    return GPT4oCaptioner(base_url=server.url, **ours | settings)


def small_limits(folder: Path, **limits: int) -> str:
    own = folder / "prices.toml"
    lines = [f"{name} = {value}" for name, value in limits.items()]
    own.write_text(
        "date = 2026-11-01\n[limits]\n" + "\n".join(lines) + "\n[models.gpt-4o]\n"
        "input = 2.5\noutput = 10.0\nbase = 85\ntile = 170\n"
    )
    return str(own)


def everything_belongs(run: PipelineRun, work: Path) -> bool:
    for item in run.finished:
        stills = item.stills if hasattr(item, "stills") else [item]
        digest = digest_of_stills(
            [encode_jpeg(work / s.path, size=512, quality=85) for s in stills]
        )
        if f"house {digest} " not in item.caption.text:
            return False
    return True


def test_one_job_captions_clips_and_images_at_half_price(
    server: CaptionServer, tmp_path: Path
) -> None:
    run = batch_build(tmp_path, ClipSource(20, tmp_path), AddImages(), captioner(server))
    assert len(run.finished) == 40
    assert everything_belongs(run, tmp_path)
    assert len(server.batches.jobs) == 1
    assert server.invalid == []
    spend = spend_frame(tmp_path)
    assert spend.settled.sum() == pytest.approx(server.bill)
    assert spend.unsettled.sum() == 0
    assert list((tmp_path / "jobs").iterdir()) == []
    again = batch_build(tmp_path, ClipSource(20, tmp_path), AddImages(), captioner(server))
    assert len(again.finished) == 40
    assert len(server.batches.jobs) == 1


def test_one_by_one_and_in_jobs_share_their_answers(server: CaptionServer, tmp_path: Path) -> None:
    batch_build(tmp_path, ClipSource(3, tmp_path), captioner(server))
    batch_build(tmp_path, ClipSource(3, tmp_path), captioner(server, mode="sync"))
    assert len(server.requests) == 3


@pytest.mark.parametrize("limits", [{"batch_requests": 4}, {"batch_bytes": 30_000}])
def test_request_files_keep_the_services_limits(
    server: CaptionServer, tmp_path: Path, limits: dict[str, int]
) -> None:
    server.batches.most_requests = limits.get("batch_requests", 50_000)
    server.batches.most_bytes = limits.get("batch_bytes", 200_000_000)
    stage = captioner(server, prices=small_limits(tmp_path, **limits))
    run = batch_build(tmp_path, ClipSource(10, tmp_path), stage)
    assert len(run.finished) == 10
    assert len(server.batches.jobs) >= 3
    assert server.invalid == []


def test_errors_and_expired_items_go_into_the_next_job(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.script = faulty([(0.2, BROKEN), (0.1, MALFORMED)], seed=3)
    server.batches.expires = 0.3
    run = batch_build(tmp_path, ClipSource(30, tmp_path), captioner(server))
    assert count_results(run, "GPT4oCaptioner").total() == 30
    assert count_results(run, "GPT4oCaptioner")["done"] >= 25
    assert {o.reason for o in run.item_results if o.status == "failed"} <= {
        "busy",
        "expired",
        "malformed answer",
    }
    assert 2 <= len(server.batches.jobs) <= 3
    assert everything_belongs(run, tmp_path)
    assert spend_frame(tmp_path).settled.sum() == pytest.approx(server.bill)


def test_a_wrong_request_fails_and_a_filtered_one_is_an_answer(
    server: CaptionServer, tmp_path: Path
) -> None:
    replies = [ErrorReply(400, None, "bad still"), ErrorReply(400, "content_policy_violation")]
    server.script = lambda request: replies.pop() if replies else described(request)
    run = batch_build(tmp_path, ClipSource(5, tmp_path), captioner(server), RefusalFilter())
    assert count_results(run, "GPT4oCaptioner") == {"done": 4, "failed: bad request": 1}
    assert count_results(run, "RefusalFilter") == {"done": 3, "rejected: content_filter": 1}
    assert len(server.batches.jobs) == 1


def test_escape_answers_in_a_job_are_answers(server: CaptionServer, tmp_path: Path) -> None:
    server.script = lambda request: answer("no_movement")
    run = batch_build(tmp_path, ClipSource(2, tmp_path), captioner(server), RefusalFilter())
    assert count_results(run, "RefusalFilter") == {"rejected: no_movement": 2}


def test_an_answer_may_hold_any_line_break(server: CaptionServer, tmp_path: Path) -> None:
    caption = "One brick.\u2028Another\x85brick."
    server.script = lambda request: answer("described", caption)
    run = batch_build(tmp_path, ClipSource(2, tmp_path), captioner(server))
    assert {item.caption.text for item in run.finished} == {" ".join(caption.split())}


@pytest.mark.timeout(60)
def test_a_wait_for_jobs_ends_when_the_run_stops(server: CaptionServer, tmp_path: Path) -> None:
    server.batches.polls = 99
    stage = captioner(server, poll_seconds=3600.0)
    pipeline, executor = Pipeline.from_stages(ClipSource(1, tmp_path), [stage]), LocalExecutor()
    with Ledger(tmp_path) as ledger, BatchJobManager(pipeline, ledger) as batch_jobs:
        run = PipelineRun(pipeline, ledger, executor)
        run.execute(ClipSource(1, tmp_path).items())
        threading.Timer(0.5, run.stop).start()
        batch_jobs.advance(run, wait=True, log=lambda message: None)
        assert len(ledger.open_jobs()) == 1
    executor.close()


def test_without_waiting_the_next_run_collects(server: CaptionServer, tmp_path: Path) -> None:
    first = batch_build(tmp_path, ClipSource(4, tmp_path), captioner(server), wait=False)
    assert count_results(first, "GPT4oCaptioner") == {"waiting: batch": 4}
    assert len(server.batches.jobs) == 1
    second = batch_build(tmp_path, ClipSource(6, tmp_path), captioner(server))
    assert len(second.finished) == 6
    assert sorted(job.total for job in server.batches.jobs.values()) == [2, 4]


def test_a_budget_is_hard_for_jobs_too(server: CaptionServer, tmp_path: Path) -> None:
    one = worst_case_cost(captioner(server), clip(0, tmp_path))
    assert one is not None
    stage = captioner(server, max_cost_usd=5.5 * one)
    run = batch_build(tmp_path, ClipSource(20, tmp_path), stage)
    assert server.bill <= 5.5 * one
    counts = count_results(run, "GPT4oCaptioner")
    assert counts["done"] >= 5
    assert counts["done"] + counts["waiting: budget"] == 20


def test_an_unreadable_still_fails_its_clip_alone(server: CaptionServer, tmp_path: Path) -> None:
    album = ClipSource(3, tmp_path)
    (tmp_path / clip(1, tmp_path).stills[0].path).write_bytes(b"no picture")
    run = batch_build(tmp_path, album, captioner(server))
    assert count_results(run, "GPT4oCaptioner") == {"done": 2, "failed: damaged file": 1}


def test_cancelling_keeps_what_was_answered(server: CaptionServer, tmp_path: Path) -> None:
    stage = captioner(server)
    batch_build(tmp_path, ClipSource(10, tmp_path), stage, wait=False)
    pipeline = Pipeline.from_stages(ClipSource(10, tmp_path), [stage])
    with Ledger(tmp_path) as ledger, BatchJobManager(pipeline, ledger) as batch_jobs:
        batch_jobs.cancel(lambda message: None)
        assert ledger.open_jobs() == []
    assert 0 < len(server.requests) < 10
    spend = spend_frame(tmp_path)
    assert spend.settled.sum() == pytest.approx(server.bill)
    assert spend.unsettled.sum() == 0


def test_a_rejected_job_fails_its_items(server: CaptionServer, tmp_path: Path) -> None:
    batch_build(tmp_path, ClipSource(2, tmp_path), captioner(server), wait=False)
    (job,) = server.batches.jobs.values()
    job.status = "failed"
    run = batch_build(tmp_path, ClipSource(2, tmp_path), captioner(server))
    assert count_results(run, "GPT4oCaptioner") == {"failed: batch failed": 2}
    assert spend_frame(tmp_path).unsettled.sum() == 0


# -- killed at the worst moments -------------------------------------------------------------------


CHILD = """
import os, sys
from pathlib import Path
from tests.kit.captions import ClipSource, AddImages
from tests.brickfilm.captions.test_captions_batch import die_at
from tests.kit.captions import batch_build
from brickfilm.stages import GPT4oCaptioner

work, url, moment = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
die_at(moment)
stage = GPT4oCaptioner(base_url=url, mode="batch", poll_seconds=0.02)
run = batch_build(work, ClipSource(12, work), AddImages(), stage)
print(len(run.finished))
"""
MOMENTS = ("written down", "uploaded", "submitted", "collected")


def die_at(moment: str) -> None:
    """End this process, as kill -9 would, just after one step of a job."""
    from brickfilm.captions.backends.openai.batch import CaptionBatchService

    def killing(after: Any, *, before: bool = False) -> Any:
        def replaced(*args: Any, **kwargs: Any) -> Any:
            if not before:
                after(*args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)

        return replaced

    match moment:
        case "written down":
            CaptionBatchService.submit = killing(CaptionBatchService.submit, before=True)  # type: ignore[method-assign]
        case "uploaded":
            import openai

            openai.resources.AsyncBatches.create = killing(None, before=True)  # type: ignore[method-assign]
        case "submitted":
            CaptionBatchService.submit = killing(CaptionBatchService.submit)  # type: ignore[method-assign]
        case "collected":
            CaptionBatchService.result_lines = killing(CaptionBatchService.result_lines)  # type: ignore[method-assign]


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_nothing_is_submitted_twice_whenever_it_is_killed(
    server: CaptionServer, tmp_path: Path, moment: str
) -> None:
    def child(moment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", CHILD, str(tmp_path), server.url, moment]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert child(moment).returncode == -signal.SIGKILL
    spend = spend_frame(tmp_path)
    assert spend.settled.sum() <= server.bill <= spend.settled.sum() + spend.unsettled.sum()
    last = child("never")
    assert last.stdout == "24\n", last.stderr
    assert len(server.batches.jobs) == 1
    assert len(server.requests) == 24
    assert spend_frame(tmp_path).settled.sum() == pytest.approx(server.bill)


def test_a_job_whose_answer_was_lost_is_found(server: CaptionServer, tmp_path: Path) -> None:
    server.batches.lost_replies = 1
    run = batch_build(tmp_path, ClipSource(3, tmp_path), captioner(server))
    assert server.batches.lost_replies == 0
    assert len(run.finished) == 3
    assert len(server.batches.jobs) == 1


@pytest.mark.soak
def test_ten_thousand_clips_in_one_job_keep_their_captions(
    server: CaptionServer, tmp_path: Path
) -> None:
    run = batch_build(tmp_path, ClipSource(10_000, tmp_path), captioner(server))
    assert len(run.finished) == 10_000
    assert len({item.caption.text for item in run.finished}) == 10_000
    assert everything_belongs(run, tmp_path)
    assert len(server.batches.jobs) == 1


def test_ten_thousand_results_out_of_order_keep_their_keys(tmp_path: Path) -> None:
    """Parse result lines without stills or a server."""
    from brickfilm.captions.backends.openai.batch import CaptionBatchService
    from brickfilm.captions.pricing import price_list

    stage = GPT4oCaptioner()
    keys = [stage.key(stage.request(clip(n, tmp_path))) for n in range(50)]
    assert len(set(keys)) == 50
    lines = [json.dumps(_line(n)) for n in range(10_000)]
    lines.reverse()
    jobs = CaptionBatchService(None, stage, tmp_path, price_list())  # type: ignore[arg-type]
    answers = dict(jobs.parse_result(line) for line in lines)
    assert len(answers) == 10_000
    for n in range(10_000):
        parsed = answers[f"{n:032x}"]
        assert isinstance(parsed, dict) and parsed["text"] == f"House {n} is red."


def _line(n: int) -> dict[str, Any]:
    from tests.kit.servers.openai import ModelReply, completion

    reply = answer("described", f"House {n} is red.")
    assert isinstance(reply, ModelReply)
    body = completion({"model": "gpt-4o"}, reply, 900)
    kind_and_stills = ("c3", "i1")[n % 2]
    return {
        "custom_id": f"{kind_and_stills}-{n:032x}",
        "response": {"status_code": 200, "body": body},
    }
