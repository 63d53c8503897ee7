"""Open a training run: its lock, index, network, checkpoint, logs and signals."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from brickfilm.schema.public_text import visible
from brickfilm.schema.stop_signals import STOP_SIGNALS
from finetune.config import Recipe
from finetune.data.bucket_coverage import bucket_coverage
from finetune.data.cache_layout import index_dataset, index_folder, missing_from_cache
from finetune.data.encoders import text_encoder_name
from finetune.data.index import Index
from finetune.engines.distributed import rank_and_world_size
from finetune.errors import CacheError, WeightsError
from finetune.models import family_of
from finetune.models.family import TINY_RANDOM, Family
from finetune.progress import ProgressLines
from finetune.training.batch_encoder import BatchEncoder
from finetune.training.loggers import open_logger
from finetune.training.packages import check_packages
from finetune.training.recipe_changes import resumed_recipe
from finetune.training.resume import ResumePoint, find_resume_point, lock_run_folder
from finetune.training.run import TrainingRun, new_model, open_engine
from finetune.training.run_data import IndexedData, RunData
from finetune.training.stream_data import open_streamed_data

log = logging.getLogger(__name__)


@contextmanager
def open_run(
    recipe: Recipe,
    device: torch.device,
    *,
    resume: str | None,
    new_data: bool = False,
    allow: Sequence[str] = (),
) -> Iterator[TrainingRun]:
    """Open a run and close it; SIGTERM and Ctrl-C request a stop after the current step.

    resume: "auto" (the newest checkpoint of `recipe.out`, or a new run), a folder, or None.
    allow: keys of the recipe that may differ from the checkpoint's.
    """
    with lock_run_folder(Path(recipe.out)):
        with ProgressLines("opening the run"):
            run = _open(recipe, device, resume=resume, new_data=new_data, allow=allow)
        with _stop_on_signals(run):
            try:
                yield run
                run.checkpoint_writer.wait()
            finally:
                run.checkpoint_writer.close()
                run.log.close()


def _open(
    recipe: Recipe,
    device: torch.device,
    *,
    resume: str | None,
    new_data: bool,
    allow: Sequence[str],
) -> TrainingRun:
    """Make a run, resume it if there is a checkpoint, and print how many clips it uses."""
    check_packages(recipe)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    resume_point = find_resume_point(Path(recipe.out), resume)
    if resume_point:
        origin = str(resume_point.folder)
        recipe = resumed_recipe(recipe, resume_point.manifest, allow, origin)
    family = family_of(recipe)
    data = _open_data(recipe, family, resume_point, new_data=new_data)
    init = resume_point.folder / "model" if resume_point else None
    engine = open_engine(new_model(recipe, init), recipe, device)
    encoder = BatchEncoder(recipe, data.index, device)
    objective = family.objective(recipe.flow).to(device)
    run = TrainingRun(recipe, device, data, engine, encoder, family, objective)
    if resume_point:
        run.resume(resume_point, new_data=new_data)
    if engine.rank == 0:
        if family.licence and recipe.init not in ("random", TINY_RANDOM):
            print(visible(f"licence of {recipe.init}: {family.licence}"))
        print(visible(data.describe(engine.world_size)), flush=True)
        run.log = open_logger(recipe, run.step)
    return run


def _open_data(
    recipe: Recipe, family: Family, resume_point: ResumePoint | None, *, new_data: bool
) -> RunData:
    """Index the recipe's dataset, or open its stream; every rank must call."""
    if recipe.streaming:
        if not resume_point:
            family.check_init(recipe.init)
        return open_streamed_data(
            recipe, {} if new_data or not resume_point else resume_point.manifest
        )
    index = _build_index(recipe)
    missing = _missing_clips(index, recipe, family, begins=resume_point is None)
    return IndexedData(recipe, index, bucket_coverage(index, recipe, missing))


def _missing_clips(
    index: Index, recipe: Recipe, family: Family, *, begins: bool
) -> dict[str, NDArray[np.bool_]] | None:
    """Return what `missing_from_cache` does, None without a cache; name a wrong `init` beside it.

    Otherwise it would be found after hours of encoding.
    """
    wrong = None
    try:
        if begins:
            family.check_init(recipe.init)
    except WeightsError as error:
        wrong = error
    try:
        missing = None
        if recipe.latents == "cached":
            missing = missing_from_cache(index, recipe, text_encoder_name(recipe, index))
    except CacheError as error:
        raise CacheError(f"{wrong}; and {error}") if wrong else error from None
    if wrong:
        raise wrong
    return missing


def _build_index(recipe: Recipe) -> Index:
    """Build the dataset's index on rank 0, and open it on every rank."""
    rank, world_size = rank_and_world_size()
    if rank == 0:
        index_dataset(recipe)
    if world_size > 1:
        dist.barrier()
    return Index.open(index_folder(recipe))


@contextmanager
def _stop_on_signals(run: TrainingRun) -> Iterator[None]:
    """Let SIGTERM, SIGHUP or Ctrl-C stop the run after its current step, with a checkpoint.

    A second Ctrl-C stops it at once.
    """

    def request_stop(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if run.engine.rank == 0:
                print("stopping after this step with a checkpoint; Ctrl-C again stops at once")
        run.stop_requested = True

    handled = [n for n in STOP_SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]  # by nohup
    before = {number: signal.signal(number, request_stop) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
