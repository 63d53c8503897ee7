"""Build one shard: its share of the videos and of the budget, in a work folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.build.link_artefacts import link_artefacts
from brickfilm.build.plan_file import FILENAME as PLAN
from brickfilm.build.recipe import DatasetRecipe
from brickfilm.build.work_folder import check_work_folder
from brickfilm.dataset.duplicates import DuplicatesMode
from brickfilm.engine.build_shard import BuildShard, check_shard_count
from brickfilm.engine.calls import AnyStage
from brickfilm.engine.capabilities import Paid
from brickfilm.engine.executors import Executor
from brickfilm.engine.heartbeat import heartbeat_lock
from brickfilm.engine.ledger import start_from_ledger
from brickfilm.engine.ledger.file import FILENAME as LEDGER
from brickfilm.engine.ledger.file import lock_work_folder
from brickfilm.engine.pipeline import Recorder, Source, source_id_of
from brickfilm.engine.stage import Stage
from brickfilm.engine.tombstones import join_tombstones
from brickfilm.errors import UsageError

BUDGET_FIELDS = ("max_cost_usd", "max_tokens_total")
"""Settings of stages that limit what a whole build may spend."""


@dataclass(frozen=True)
class ShardedSource:
    """The videos of a source that belong to one shard."""

    source: Source
    shard: BuildShard

    def items(self) -> Iterator[Any]:
        return (item for item in self.source.items() if self.shard.owns(source_id_of(item)))

    def stages(self) -> tuple[AnyStage, ...]:
        return self.source.stages()

    def finish(self, work: Path, done: Sequence[str]) -> None:
        if isinstance(self.source, Recorder):
            self.source.finish(work, done)


def build_shard(
    source: Source,
    stages: Sequence[AnyStage],
    *,
    shard: BuildShard,
    workdir: str | Path,
    executor: Executor | None = None,
    test_fraction: float = 0.05,
    duplicates: DuplicatesMode = "mark",
    wait: bool = True,
    take_over: bool = False,
) -> BuildResult:
    """Build a shard in `workdir/shards/i-of-n`, like `build`; `merge_shards` joins all of them.

    Limits of cost and tokens are of the whole build: a shard may spend its n-th part. take_over:
    take the lock of a process that has not renewed it for ten minutes. Raise WorkdirBusy if the
    shard is being built, and UsageError if the folder has shards of another number.
    """
    check_work_folder(Path(workdir), source, is_merge=True)
    with open_shard(Path(workdir), shard, take_over=take_over) as folder:
        result = build(
            ShardedSource(source, shard),
            [with_budget_share(stage, shard.count) for stage in stages],
            workdir=folder,
            executor=executor,
            test_fraction=test_fraction,
            duplicates=duplicates,
            wait=wait,
        )
    return replace(result, is_shard=True)


def shard_recipe(recipe: DatasetRecipe, shard: BuildShard, work: Path) -> DatasetRecipe:
    """Return a recipe of a shard's share, for a dry run; UsageError for another number of them.

    Raise UsageError too for a folder with files of others.
    """
    check_work_folder(work, recipe.source, is_merge=True)
    check_shard_count(work, shard.count)
    stages = [with_budget_share(stage, shard.count) for stage in recipe.stages]
    return replace(recipe, source=ShardedSource(recipe.source, shard), stages=stages)


@contextmanager
def open_shard(work: Path, shard: BuildShard, *, take_over: bool = False) -> Iterator[Path]:
    """Lock a shard's work folder; a new one begins with the answers that the whole build has."""
    check_shard_count(work, shard.count)
    folder = shard.folder(work)
    with heartbeat_lock(folder.with_name(f"{folder.name}.lock"), take_over=take_over):
        folder.mkdir(exist_ok=True)
        if (work / LEDGER).is_file() and not (folder / LEDGER).is_file():
            _start_from_build(work, folder, shard.count)
        join_tombstones(work, folder)
        yield folder


def _start_from_build(work: Path, folder: Path, count: int) -> None:
    """Give a new shard the files, settings and answers of an earlier build; the ledger is last."""
    draft = folder / "start"  # a ledger is complete when it has its name
    with lock_work_folder(work):
        shutil.rmtree(draft, ignore_errors=True)
        try:
            start_from_ledger(draft, work, count)
        except UsageError:
            shutil.rmtree(folder)  # which would make the build one of shards
            raise
        link_artefacts(work, folder)
        if (work / PLAN).is_file():
            shutil.copy(work / PLAN, folder)
        (draft / LEDGER).rename(folder / LEDGER)
        shutil.rmtree(draft)


def with_budget_share(stage: AnyStage, count: int) -> AnyStage:
    """Return the stage with an n-th part of its limits, and of those of stages inside it.

    Raise UsageError for a stage whose budget is no field that can be divided.
    """
    if not is_dataclass(stage):
        return stage
    changes: dict[str, Any] = {}
    for name, value in ((f.name, getattr(stage, f.name)) for f in fields(stage) if f.init):
        if isinstance(value, Stage):
            changes[name] = with_budget_share(value, count)
        elif name in BUDGET_FIELDS and value is not None:
            changes[name] = value // count if isinstance(value, int) else value / count
    shared: AnyStage = replace(stage, **changes) if changes else stage
    if isinstance(stage, Paid) and stage.budget and shared.budget == stage.budget and count > 1:
        raise UsageError(
            f"the budget of {stage.name} cannot be divided among {count} shards: call its field "
            f"{' or '.join(BUDGET_FIELDS)}"
        )
    return shared
