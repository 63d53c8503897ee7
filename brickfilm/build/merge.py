"""Merge shards, or builds made apart: one ledger, one set of files, one final pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from brickfilm.build.build_dataset import (
    BuildResult,
    executor_scope,
    run_pass,
    with_default_writer,
    with_kept_settings,
)
from brickfilm.build.final_pass import FinalPass, finalize
from brickfilm.build.link_artefacts import link_artefacts
from brickfilm.build.plan_file import Plan
from brickfilm.build.work_folder import answered, check_work_folder
from brickfilm.dataset.duplicates import DuplicatesMode
from brickfilm.dataset.write import DamagedMediaError
from brickfilm.engine.build_shard import SHARDS_FOLDER, find_shards
from brickfilm.engine.calls import AnyStage
from brickfilm.engine.heartbeat import heartbeat_lock
from brickfilm.engine.ledger import ItemResult, Ledger, join_ledger, ledger_frame, result_digest
from brickfilm.engine.ledger.file import FILENAME as LEDGER
from brickfilm.engine.ledger.file import lock_work_folder
from brickfilm.engine.pipeline import Pipeline, Source
from brickfilm.engine.progress import show_progress
from brickfilm.engine.queue import AnswerKey, Failures
from brickfilm.engine.spilled_list import SpilledList
from brickfilm.engine.tombstones import join_tombstones
from brickfilm.errors import Interrupted, ItemError, UsageError, Waiting

NOT_BUILT = Waiting("no shard has built it: run its shard again, then merge", reason="not built")


class NotBuilt(Failures):
    """An error for every answer that no merged folder has: a merge computes and pays nothing."""

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: AnswerKey) -> ItemError:
        return NOT_BUILT


def merge_shards(
    source: Source,
    stages: Sequence[AnyStage],
    *,
    workdir: str | Path,
    folders: Sequence[str | Path] = (),
    test_fraction: float = 0.05,
    duplicates: DuplicatesMode = "mark",
    partial: bool = False,
) -> BuildResult:
    """Join the shards of a work folder and write the dataset that one build would have written.

    source, stages: as of the shards. Nothing is computed and nothing is paid for: what no shard has
    built waits. folders: work folders of builds made apart, in place of the shards. partial: merge
    though shards were not begun. Raise UsageError if a shard is missing, was built with other
    settings or is being built.
    """
    work, final_pass = Path(workdir), FinalPass(test_fraction, duplicates)
    parts = [Path(folder) for folder in folders] or _all_shards(work, partial=partial)
    for part in parts:
        if not (part / LEDGER).is_file():
            raise UsageError(f"{str(part)!r} has no {LEDGER}: name the --out folder of a build")
    check_work_folder(work, source, is_merge=True)
    stages = with_kept_settings(stages, next(filter(answered, parts), parts[0]))
    pipeline = Pipeline.from_stages(source, with_default_writer(stages))
    with _locked(parts):
        _check_settings(pipeline, parts)
        with lock_work_folder(work):
            for part in parts:
                link_artefacts(part, work)
                join_tombstones(part, work)
                join_ledger(work, part)
        return _final_pass(pipeline, source, work, parts, final_pass)


def _all_shards(work: Path, *, partial: bool) -> list[Path]:
    """Return the shards' folders; raise UsageError if there are none, or not all."""
    found = find_shards(work)
    if not found:
        raise UsageError(f"{str(work)!r} has no shards: build them with --shard i/n --out {work}")
    counts = sorted({shard.count for shard in found})
    if len(counts) > 1:
        raise UsageError(
            f"{str(work)!r} has shards of {' and of '.join(map(str, counts))}: move those of one "
            "number out of the folder, and give them with --from"
        )
    begun = {shard.index for shard in found if (found[shard] / LEDGER).is_file()}
    if missing := [] if partial else sorted(set(range(counts[0])) - begun):
        names = ", ".join(f"{n}/{counts[0]}" for n in missing[:8])
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise UsageError(
            f"shards {names}{more} of {str(work)!r} were not built: build them with --shard, or "
            "merge the others with --partial"
        )
    return [found[shard] for shard in found if shard.index in begun]


@contextmanager
def _locked(parts: Sequence[Path]) -> Iterator[None]:
    """Hold the locks of all folders; raise WorkdirBusy if one is being built."""
    with ExitStack() as exits:
        for part in parts:
            if part.parent.name == SHARDS_FOLDER:
                exits.enter_context(heartbeat_lock(part.with_name(f"{part.name}.lock")))
            exits.enter_context(lock_work_folder(part))
        yield


def _check_settings(pipeline: Pipeline, parts: Sequence[Path]) -> None:
    """Raise UsageError if a folder was built with other stages: their answers would be no use."""
    wanted = [stage.shown for stage in Plan.from_stages(pipeline.original_stages).stages]
    for part in parts:
        plan = Plan.read(part)
        found = [stage.shown for stage in plan.stages] if plan else []
        if found != wanted:
            ours = "; ".join(stage for stage in wanted if stage not in found) or "fewer stages"
            theirs = "; ".join(stage for stage in found if stage not in wanted) or "fewer stages"
            raise UsageError(
                f"{str(part)!r} was built with {theirs}, and this merge asks for {ours}: give the "
                "options that it was built with, or build it again with these"
            )


def _final_pass(
    pipeline: Pipeline, source: Source, work: Path, parts: Sequence[Path], final_pass: FinalPass
) -> BuildResult:
    with Ledger(work) as ledger, show_progress() as progress:
        Plan.from_stages(pipeline.original_stages).write(work)
        with executor_scope(None) as idle:
            run = run_pass(pipeline, source, ledger, idle, progress, NotBuilt())
        if run.stopping:
            raise Interrupted("interrupted: run the same command again to merge")
        run.item_results = SpilledList(
            work, _with_reasons(run.item_results, parts), digest=result_digest
        )
        run.save_results()
        try:
            dataset = finalize(run, ledger, final_pass)
        except DamagedMediaError as error:
            raise _damaged(error, work, parts) from error
        return BuildResult(dataset, run.item_results)


def _with_reasons(results: Iterable[ItemResult], parts: Sequence[Path]) -> Iterator[ItemResult]:
    """Yield the results, those of items that were not built with what their shard says."""
    known = dict(pair for part in parts for pair in _unfinished(part).items())
    for r in results:
        in_shard = known.get((r.stage, r.item, r.source_id), r)
        yield in_shard if r.reason == NOT_BUILT.reason else r


def _unfinished(part: Path) -> Mapping[tuple[str, str, str], ItemResult]:
    """Return the failed and waiting items of a folder's last run, by stage, item and source."""
    frame = ledger_frame(part).rename(columns={"outcome": "status"})
    rows = frame[frame.status.isin(["failed", "waiting"])].to_dict("records")
    results = [ItemResult(**{str(name): value for name, value in row.items()}) for row in rows]
    return {(r.stage, r.item, r.source_id): r for r in results}


def _damaged(error: DamagedMediaError, work: Path, parts: Sequence[Path]) -> UsageError:
    """Delete damaged media in the shards too, and return the error that says what to do."""
    names = [path.relative_to(work.resolve()) for path in error.paths]
    holders = [part for part in parts if any((part / name).exists() for name in names)]
    for part in parts:
        for name in names:
            (part / name).unlink(missing_ok=True)
    where = ", ".join(repr(str(part)) for part in holders or parts)
    return UsageError(
        f"{len(names)} media files are damaged or missing, and deleted now: build {where} again, "
        "which writes them anew, then merge"
    )
