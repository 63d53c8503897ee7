"""`brickfilm build`: a recipe, or a folder with the default stages."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Protocol, runtime_checkable

import cloudpickle
import typer
from rich.console import Console

from brickfilm.build.build_dataset import build, dry_run
from brickfilm.engine.ledger import ItemResult
from brickfilm.engine.pipeline import AnyStage, Source
from brickfilm.engine.stage import Stage
from brickfilm.errors import BrickfilmError, Interrupted, UsageError
from brickfilm.export.bucket_coverage import TrainingRecipe
from brickfilm.records import Listing, Video
from brickfilm.sources import FolderSource

console = Console()
MAX_FAILURES_PRINTED = 10
"""Failures that a build names itself."""


@dataclass(frozen=True)
class DatasetRecipe:
    """What a recipe file says: where footage comes from, and what is done with it."""

    source: Source
    stages: Sequence[AnyStage]
    test_fraction: float = 0.05


@runtime_checkable
class Lockable(Protocol):
    """A source that can fetch exactly what a lock file names."""

    def locked(self, folder: Path, *, allow_drift: bool = False) -> Source:
        """This source, bound to the lock file of a folder."""


@runtime_checkable
class Forecaster(Protocol):
    """A source that knows what fetching will take."""

    def forecast(self, films: Sequence[Listing]) -> object:
        """In words, by `str`."""


def resolve_recipe(
    footage: Path, captions: str, *, sound: bool = False, licence: str = "", uploader: str = ""
) -> DatasetRecipe:
    """A recipe from a `.py` file, or the default stages over films."""
    if footage.suffix != ".py":
        source = FolderSource(footage, licence=licence, uploader=uploader)
        return default_recipe(source, captions, sound=sound)
    instead = {
        "--sound: write ClipWriter(sound=True)": sound,
        f"--licence: write FolderSource(..., licence={licence!r})": licence,
        f"--uploader: write FolderSource(..., uploader={uploader!r})": uploader,
    }
    for words in (words for words, given in instead.items() if given):
        raise UsageError(f"{words} into the recipe {str(footage)!r}")
    return load_recipe(footage)


def load_recipe(path: Path) -> DatasetRecipe:
    """Read the names `source` and `stages` (and `test_fraction`) of a Python file."""
    if not path.is_file():
        raise UsageError(f"there is no recipe {str(path)!r}")
    spec = importlib.util.spec_from_file_location("brickfilm_recipe", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UsageError(f"the recipe {str(path)!r} is no Python: {error}") from error
    except BrickfilmError:
        raise
    except Exception as error:  # a recipe is anybody's code
        raise UsageError(
            f"the recipe {str(path)!r} fails {_error_location(path, error)}"
        ) from error
    cloudpickle.register_pickle_by_value(module)  # workers cannot import it: its stages travel
    if missing := [name for name in ("source", "stages") if not hasattr(module, name)]:
        raise UsageError(
            f"the recipe {str(path)!r} defines no {' and no '.join(missing)}: it needs "
            "source = ... and stages = (...) at its top level"
        )
    return DatasetRecipe(
        module.source, _check_stages(path, module.stages), getattr(module, "test_fraction", 0.05)
    )


def _error_location(path: Path, error: Exception) -> str:
    """The last line of the recipe that ran, and what went wrong there."""
    frames = traceback.extract_tb(error.__traceback__)
    here = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    line = f"in line {here[-1]}" if here else "to load"
    return f"{line}: {type(error).__name__}: {error}"


def _check_stages(path: Path, stages: object) -> tuple[AnyStage, ...]:
    odd = (
        [s for s in stages if not isinstance(s, Stage)]
        if isinstance(stages, Sequence)
        else [stages]
    )
    if odd:
        raise UsageError(
            f"the recipe {str(path)!r} has stages with {odd[0]!r} in the place of a stage: "
            "it needs stages = (SceneSplitter(), ...), a tuple, with a comma after a single one"
        )
    return tuple(stages)  # type: ignore[arg-type]  # just looked at


def default_recipe(source: Source, captions: str, *, sound: bool = False) -> DatasetRecipe:
    """Shots of 15-200 frames, three stills, and captions from where `captions` says."""
    from brickfilm import ClipWriter, FrameSampler, SceneSplitter

    writers = [ClipWriter(sound=True)] if sound else []
    return DatasetRecipe(
        source,
        (SceneSplitter(), *writers, FrameSampler(), *_caption_stages(captions)),
    )


def run_build(recipe: DatasetRecipe, out: Path, *, wait: bool = True) -> None:
    """Build, say where things lie, and exit with the build's code."""
    try:
        built = build(
            recipe.source,
            recipe.stages,
            workdir=out,
            test_fraction=recipe.test_fraction,
            wait=wait,
        )
    except Interrupted as stop:
        print(f"\n{stop}", file=sys.stderr)
        raise
    for config, splits in built.dataset.items():
        sizes = ", ".join(f"{len(rows)} {split}" for split, rows in splits.items())
        console.print(f"{config}: {sizes}", highlight=False)
    console.print(
        f"dataset: {out / 'dataset'}\nreport:  {built.dataset.report_path}", soft_wrap=True
    )
    _print_failures(built.item_results)
    status = f"brickfilm status {quote(str(out))}"
    if not any(rows for splits in built.dataset.values() for rows in splits.values()):
        console.print(f"nothing came through: {status} says why", soft_wrap=True)
    if built.exit_code:
        console.print(f"not everything is done: {status}", soft_wrap=True)
    raise typer.Exit(built.exit_code)


def dry_run_build(recipe: DatasetRecipe, out: Path, training_recipe: str | None = None) -> None:
    """Print the plan, what each stage would be asked for, and what a training would use.

    Exits with 1 if a film failed: the build itself would.
    """
    training = TrainingRecipe.from_name(training_recipe) if training_recipe else None
    pipeline, run = dry_run(recipe.source, recipe.stages, workdir=out)
    console.print(pipeline.describe(), highlight=False, soft_wrap=True)
    for queue in run.queues:
        if pending_items := run.pending_items[queue.position]:
            words = queue.stage.forecast(pending_items, out)
            console.print(f"{queue.stage.name}: {words}", highlight=False, soft_wrap=True)
        if (
            pending_items
            and Video in queue.stage.output_types
            and isinstance(recipe.source, Forecaster)
        ):
            for film in pending_items:
                console.print(f"  {film.source_id}  {film.title}", highlight=False, markup=False)
            console.print(
                str(recipe.source.forecast(pending_items)), highlight=False, soft_wrap=True
            )
    if training:
        from brickfilm.cli.hub import planned_coverage_table

        console.print(planned_coverage_table(pipeline, run, training))
    _print_failures(run.item_results)
    raise typer.Exit(1 if any(o.status == "failed" for o in run.item_results) else 0)


def _print_failures(item_results: Sequence[ItemResult]) -> None:
    """What failed, and which footage was turned away, each once; the rest is for `status`."""
    messages = dict.fromkeys(
        f"{o.status}: {o.message}"
        for o in item_results
        if o.status == "failed" or (o.kind, o.status) == ("listing", "rejected")
    )
    for message in list(messages)[:MAX_FAILURES_PRINTED]:
        console.print(message, highlight=False, markup=False, soft_wrap=True)
    if len(messages) > MAX_FAILURES_PRINTED:
        console.print(f"... and {len(messages) - MAX_FAILURES_PRINTED} more")


def lock_recipe(recipe: DatasetRecipe, out: Path, *, allow_drift: bool) -> DatasetRecipe:
    """The recipe, bound to the lock file in `out`."""
    if not isinstance(recipe.source, Lockable):
        raise UsageError(
            f"--locked: {type(recipe.source).__name__} writes no lock file, its films are at hand"
        )
    return replace(recipe, source=recipe.source.locked(out, allow_drift=allow_drift))


def _caption_stages(captions: str) -> tuple[AnyStage, ...]:
    from brickfilm import GPT4oCaptioner, RefusalFilter, SidecarCaptioner

    match captions:
        case "gpt-4o":
            return (GPT4oCaptioner(), RefusalFilter())
        case "sidecar":
            return (SidecarCaptioner(), RefusalFilter())
        case "none":
            return ()
    raise UsageError(f"--captions {captions!r} is not known: gpt-4o, sidecar or none")
