"""Optional capabilities: a second instance of each is served; a hook without one is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from brickfilm.build.forecast import forecast_lines
from brickfilm.engine.batch_jobs import BatchJobManager
from brickfilm.engine.capabilities import BatchRequestFile
from brickfilm.engine.executors import LocalExecutor
from brickfilm.engine.ledger import Ledger, spend_frame
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.run import PipelineRun
from brickfilm.engine.stage import Answer, Result, Stage, WorkItem
from brickfilm.errors import Failed, UsageError, WiringError
from brickfilm.records import Clip
from tests.kit.toy_capabilities import Copied, Halve, Letter, PostOffice
from tests.kit.toy_stages import Names, Say, lines


@pytest.fixture
def office(tmp_path: Path) -> Path:
    (tmp_path / "office").mkdir()
    return tmp_path / "office"


def build(work: Path, source: Any, *stages: Stage) -> PipelineRun:
    """Run passes until no batch job is open and no video is to be fetched again."""
    pipeline = Pipeline.from_stages(source, stages)
    executor = LocalExecutor(processes=1)
    with Ledger(work) as ledger, BatchJobManager(pipeline, ledger) as jobs:
        more = True
        while more:
            run = PipelineRun(pipeline, ledger, executor, failures=jobs.failures)
            run.execute(source.items())
            more = run.source_refs.refetch_needed
            more = jobs.advance(run, wait=True, log=lambda message: None) or more
    executor.close()
    return run


def test_a_second_batched_stage_is_paid_through_jobs_within_its_budget(
    tmp_path: Path, office: Path
) -> None:
    source = Copied("abc", tmp_path / "copied")
    stages = (Halve(tmp_path / "halved"), Letter(office, max_cost_usd=0.09))
    run = build(tmp_path, source, *stages)
    assert len(run.finished) == 4  # of six: the fifth could cost two cents, and one is left
    assert {r.reason for r in run.item_results if r.status == "waiting"} == {"budget"}
    assert spend_frame(tmp_path).settled.sum() == pytest.approx(0.04)
    run = build(tmp_path, source, stages[0], Letter(office, max_cost_usd=0.09))
    assert len(run.finished) == 6
    assert spend_frame(tmp_path).settled.sum() == pytest.approx(0.06)


def test_money_is_reserved_on_disk_before_a_job_is_submitted(tmp_path: Path, office: Path) -> None:
    class Watched(PostOffice):
        def submit(self, job: str, request_file: BatchRequestFile) -> str:
            with closing(sqlite3.connect(tmp_path / FILENAME)) as db:
                rows = db.execute("SELECT reserved FROM intents WHERE job = ?", (job,)).fetchall()
            assert rows == [(0.02,)] * len(request_file.keys) == [(0.02,)] * 4
            return super().submit(job, request_file)

    @dataclass(frozen=True)
    class WatchedLetter(Letter):
        @contextmanager
        def open_batch_service(self, work: Path) -> Iterator[PostOffice]:
            yield Watched(self.office)

    source = Copied("ab", tmp_path / "copied")
    assert (
        len(build(tmp_path, source, Halve(tmp_path / "halved"), WatchedLetter(office)).finished)
        == 4
    )


def test_the_request_of_an_item_is_built_once_in_a_run(tmp_path: Path, office: Path) -> None:
    run = build(
        tmp_path,
        Copied("ab", tmp_path / "copied"),
        Halve(tmp_path / "halved"),
        Letter(office, by_post=False, max_cost_usd=1),
    )
    assert {clip.caption.text for clip in run.finished} == {
        f"DESCRIBE {clip.id.upper()}." for clip in run.finished
    }
    assert len(lines(office / "written")) == 4


def test_a_second_owner_of_sources_deletes_and_fetches_again(tmp_path: Path) -> None:
    source, halved = Copied("abc", tmp_path / "copied"), tmp_path / "halved"
    assert len(build(tmp_path, source, Halve(halved)).finished) == 6
    assert not [name for name in "abc" if (tmp_path / name).exists()]
    run = build(tmp_path, source, Halve(halved, second=2))  # one part is new, and reads the file
    assert len(run.finished) == 6
    assert sorted(lines(source.log)) == sorted("abcabc")
    assert sorted(lines(halved)) == sorted([*(f"{n} 2" for n in "abc"), *(f"{n} 1" for n in "abc")])
    assert not [name for name in "abc" if (tmp_path / name).exists()]


def test_a_source_that_a_failed_item_needs_is_kept(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class FailsOnB(Halve):
        def compute(self, work: Path, work_item: WorkItem) -> Result:
            if work_item.item.source_id == "b":
                return Failed("b cannot be cut")
            return super().compute(work, work_item)

    run = build(tmp_path, Copied("ab", tmp_path / "copied"), FailsOnB(tmp_path / "halved"))
    assert [r.source_id for r in run.item_results if r.status == "failed"] == ["b"]
    assert [name for name in "ab" if (tmp_path / name).exists()] == ["b"]


def test_a_second_dry_run_simulates_and_forecasts(tmp_path: Path, office: Path) -> None:
    source = Names("ab")
    stages = (Halve(tmp_path / "halved"), Letter(office), Say())
    pipeline = Pipeline.from_stages(source, stages)
    executor = LocalExecutor(processes=1)
    with Ledger(tmp_path) as ledger:
        run = PipelineRun(pipeline, ledger, executor, dry_run=True)
        run.execute(source.items())
    executor.close()
    assert list(forecast_lines(source, run, tmp_path)) == [
        "Halve: 2 videos to halve",
        "Letter: 4 to do",
    ]
    assert not list(office.glob("*.asked"))


def test_a_stage_is_checked_before_a_build(tmp_path: Path) -> None:
    pipeline = Pipeline.from_stages(Names("a"), [Halve(tmp_path), Letter(tmp_path / "nowhere")])
    with pytest.raises(UsageError, match="no post office at"):
        pipeline.check()


class Plain(Stage[Clip, Clip]):
    """A stage of a user, whose hook is added by a test."""

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        yield item


@pytest.mark.parametrize(
    ("hook", "remedy"),
    [
        ("worst_case_cost", r"class Plain\(Stage\[...\], Paid\), with Paid from"),
        ("budget", "is no Paid"),
        ("budget_group", "is no Paid"),
        ("open_batch_service", "is no Batched"),
        ("uses_batch_jobs", "is no Batched"),
        ("poll_seconds", "is no Batched"),
        ("simulate", "is no DryRun"),
        ("forecast", "is no DryRun"),
        ("release_source", "is no SourceOwner"),
        ("request_source_refetch", "is no SourceOwner"),
        ("active_downloads", "is no SourceOwner"),
        ("parts", "is no MultiPart"),
        ("apply_parts", "is no MultiPart"),
        ("group", "is no MultiPart"),
        ("max_items_per_call", "is no MultiPart"),
        ("run_batch", "inherit MultiPart"),
        ("fuse", "Sink"),
        ("takes", "call it input_types"),
        ("gives", "call it provides"),
    ],
)
def test_a_hook_without_its_capability_is_an_error(hook: str, remedy: str) -> None:
    stage = type("Plain", (Plain,), {hook: lambda self: None})()
    with pytest.raises(WiringError, match=f"{hook}.*{remedy}"):
        Pipeline.from_stages(Names("a"), [stage])


def test_a_hook_as_a_field_without_a_default_is_seen_too() -> None:
    @dataclass(frozen=True)
    class Dear(Plain):
        budget: float

    with pytest.raises(WiringError, match="Dear has budget but is no Paid"):
        Pipeline.from_stages(Names("a"), [Dear(3.0)])


def test_a_stage_without_apply_is_an_error_before_anything_runs() -> None:
    with pytest.raises(WiringError, match=r"Stage has no apply\(item, answer\)"):
        Pipeline.from_stages(Names("a"), [Stage()])
