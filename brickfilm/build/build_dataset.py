"""`build_dataset`: run the stages over a source, then the final pass, then save and report."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from brickfilm.build.built_dataset import BrickfilmDataset
from brickfilm.build.final_pass import FinalPass, finalize
from brickfilm.build.footage import source_of
from brickfilm.build.measure_set import with_kept_measures
from brickfilm.build.plan_file import Plan
from brickfilm.build.shot_detector import with_kept_detector
from brickfilm.build.work_folder import open_ledger, open_ledger_copy, settings_folder
from brickfilm.dataset.duplicates import DuplicatesMode
from brickfilm.dataset.write import DamagedMediaError
from brickfilm.engine.batch_jobs import BatchJobManager
from brickfilm.engine.calls import AnyStage
from brickfilm.engine.executors import Executor, LocalExecutor
from brickfilm.engine.ledger import ItemResult, Ledger
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.engine.pipeline import Pipeline, Recorder, Source
from brickfilm.engine.progress import Progress, show_progress
from brickfilm.engine.queue import Failures
from brickfilm.engine.run import PipelineRun
from brickfilm.errors import Interrupted, UsageError
from brickfilm.records import Video
from brickfilm.schema.plural import pluralize
from brickfilm.schema.stop_signals import STOP_SIGNALS
from brickfilm.stages import ClipWriter, FrameSampler

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildResult:
    """A finished build: its dataset, and the result of every item."""

    dataset: BrickfilmDataset
    item_results: Sequence[ItemResult]
    is_shard: bool = False

    @property
    def exit_code(self) -> int:
        """Return 0 if all is done, 1 if items failed or no row came out, 3 if items only wait.

        A shard without a video is done.
        """
        counts = Counter(result.status for result in self.item_results)
        if counts["waiting"] and not counts["failed"]:
            return 3
        is_done = not self.is_empty or (self.is_shard and not counts)
        return 1 if counts["failed"] or not is_done else 0

    @property
    def shortfall(self) -> str:
        """Return in words what failed, waits or is missing; '' if all is done."""
        counts = Counter(result.status for result in self.item_results)
        states = [name for name in ("failed", "waiting") if counts[name]]
        parts = [f"{pluralize(counts[name], 'item')} {name}" for name in states]
        return ", ".join([*parts, *(["no clips were produced"] if self.is_empty else [])])

    @property
    def is_empty(self) -> bool:
        """Return True if the dataset has no row."""
        return not any(rows for splits in self.dataset.values() for rows in splits.values())


def build_dataset(
    source: Source | str | Path,
    *stages: AnyStage,
    workdir: str | Path,
    executor: Executor | None = None,
    test_fraction: float = 0.05,
    duplicates: DuplicatesMode = "mark",
) -> BrickfilmDataset:
    """Turn footage into a captioned dataset; run it again to continue after a stop.

    source: a source, or in one word (`build/footage.py`) a video, a folder or a glob of videos, a
    list of URLs, tars, the URL of a folder, or a dataset as `hub:user/dataset`.
    duplicates: keep all near-duplicates and 'mark' their groups, 'keep-best' or 'keep-one' of each.
    The work folder gets `dataset/`, `report.html`, `ledger.sqlite`, clips and stills. Raise
    UsageError (wiring, work folder) before anything is done, ServiceRefused if a service refuses
    every request, and Interrupted (a KeyboardInterrupt) after Ctrl-C.
    """
    videos = source_of(source) if isinstance(source, str | Path) else source
    result = build(
        videos,
        stages,
        workdir=workdir,
        executor=executor,
        test_fraction=test_fraction,
        duplicates=duplicates,
    )
    if shortfall := result.shortfall:
        text = f"{shortfall}: {result.dataset.report_path} says why, and the next build continues"
        warnings.warn(text, stacklevel=2)
    return result.dataset


def build(
    source: Source,
    stages: Sequence[AnyStage],
    *,
    workdir: str | Path,
    executor: Executor | None = None,
    test_fraction: float = 0.05,
    duplicates: DuplicatesMode = "mark",
    wait: bool = True,
) -> BuildResult:
    """Build a dataset like `build_dataset`, and also return the result of every item.

    wait: poll until all batch jobs have ended; otherwise submit them and return.
    """
    final_pass = FinalPass(test_fraction, duplicates)
    stages = with_kept_settings(stages, Path(workdir))
    pipeline = Pipeline.from_stages(source, with_default_writer(stages))
    pipeline.check()
    with (
        open_ledger(Path(workdir), source) as ledger,
        executor_scope(executor) as pool,
        show_progress() as progress,
    ):
        Plan.from_stages(pipeline.original_stages).write(ledger.work)
        with BatchJobManager(pipeline, ledger) as batch_jobs:
            next_pass = partial(
                run_pass, pipeline, source, ledger, pool, progress, batch_jobs.failures
            )
            complete = partial(_run_passes, next_pass, batch_jobs, wait, ledger.work)
            run = complete()
            try:
                dataset = finalize(run, ledger, final_pass)
            except DamagedMediaError as error:
                log.warning("%s; this is done now", error)
                run = complete()
                dataset = finalize(run, ledger, final_pass)
        return BuildResult(dataset, run.item_results)


def _run_passes(
    next_pass: Callable[[], PipelineRun], batch_jobs: BatchJobManager, wait: bool, work: Path
) -> PipelineRun:
    """Run passes until no deleted video is needed, and no batch job has brought answers.

    Raise Interrupted if the user stopped it.
    """
    run = next_pass()
    if run.source_refs.refetch_needed and not run.stopping:
        run = next_pass()
    while not run.stopping and _advance_batch_jobs(batch_jobs, run, wait):
        run = next_pass()
    if run.stopping:
        raise Interrupted(_resume_hint(run, work))
    trims = run.trims.values()
    edits = {e for e in run.edits if not any(trim.covers(e) for trim in trims)}
    unused = edits | {trim.result for trim in trims}
    if unused:
        unused -= {result.item for result in run.item_results}
    if unused:
        _print_status(f"edits by hand without a clip or image: {', '.join(sorted(unused))}")
    return run


def run_pass(
    pipeline: Pipeline,
    source: Source,
    ledger: Ledger,
    pool: Executor,
    progress: Progress,
    failures: Failures,
) -> PipelineRun:
    """Run the source through the stages once, then let it record what it fetched."""
    run = PipelineRun(pipeline, ledger, pool, progress=progress, failures=failures)
    with stop_on_signals(run):
        run.execute(source.items())
    if isinstance(source, Recorder):
        makes_videos = [Video in queue.stage.output_types for queue in run.queues]
        fetched = [r for r in run.item_results if r.status == "done" and makes_videos[r.position]]
        source.finish(ledger.work, [result.source_id for result in fetched])
    return run


def cancel_jobs(source: Source, stages: Sequence[AnyStage], *, workdir: str | Path) -> None:
    """Cancel the open batch jobs of a build, and save the answers they already have."""
    if not (Path(workdir) / FILENAME).is_file():
        raise UsageError(f"{str(workdir)!r} has no ledger: name the --out folder of a build")
    stages = with_kept_measures(stages, Path(workdir))
    pipeline = Pipeline.from_stages(source, with_default_writer(stages))
    with Ledger(Path(workdir)) as ledger, BatchJobManager(pipeline, ledger) as batch_jobs:
        if not ledger.open_jobs():
            _print_status("there is no open batch job")
        batch_jobs.cancel(_print_status)


def dry_run(
    source: Source, stages: Sequence[AnyStage], *, workdir: str | Path
) -> tuple[Pipeline, PipelineRun]:
    """Run only the stages that download, write and cost nothing; collect the items of the rest."""
    stages = with_kept_settings(stages, Path(workdir))
    pipeline = Pipeline.from_stages(source, with_default_writer(stages))
    with (
        open_ledger_copy(Path(workdir), source) as ledger,
        executor_scope(None) as pool,
        show_progress() as progress,
    ):
        run = PipelineRun(pipeline, ledger, pool, progress=progress, dry_run=True)
        with stop_on_signals(run):
            run.execute(source.items())
    return pipeline, run


def with_kept_settings(stages: Sequence[AnyStage], work: Path) -> list[AnyStage]:
    """Return the stages with the detector and the measures of a work folder, where automatic."""
    kept = settings_folder(work)
    return with_kept_measures(with_kept_detector(stages, kept), kept)


def with_default_writer(stages: Sequence[AnyStage]) -> list[AnyStage]:
    """Return the stages, with a ClipWriter added if none of them writes the clip's file."""
    if any("path" in stage.provides for stage in stages):
        return list(stages)
    sampler = next((n for n, s in enumerate(stages) if isinstance(s, FrameSampler)), len(stages))
    return [*stages[:sampler], ClipWriter(), *stages[sampler:]]


@contextmanager
def executor_scope(executor: Executor | None) -> Iterator[Executor]:
    """Yield the caller's executor, left open, or a new LocalExecutor, closed at the end."""
    if executor is not None:
        yield executor
        return
    own, now = LocalExecutor(), False
    try:
        yield own
    except KeyboardInterrupt:
        now = True
        raise
    finally:
        own.close(now=now)


@contextmanager
def stop_on_signals(run: PipelineRun) -> Iterator[None]:
    """Handle Ctrl-C, SIGTERM and SIGHUP in the main thread.

    The first stops dispatching and waits for calls in flight; a second one exits immediately. A
    signal that is ignored, as SIGHUP under `nohup`, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if run.stopping:
            raise KeyboardInterrupt
        run.stop()

    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


def _advance_batch_jobs(batch_jobs: BatchJobManager, run: PipelineRun, wait: bool) -> bool:
    with stop_on_signals(run):
        return batch_jobs.advance(run, wait=wait, log=_print_status) and not run.stopping


def _print_status(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _resume_hint(run: PipelineRun, work: Path) -> str:
    counts = Counter(result.status for result in run.item_results)
    totals = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return (
        f"interrupted; {totals or 'nothing done yet'}. All answers are saved in {str(work)!r}: "
        "run the same command to continue"
    )
