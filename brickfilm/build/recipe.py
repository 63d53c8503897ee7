"""Dataset recipes: Python files that name a source and its stages, and the default recipe."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import cloudpickle

from brickfilm.build.caption_options import CaptionOptions
from brickfilm.build.footage import source_of
from brickfilm.dataset.duplicates import DuplicatesMode
from brickfilm.engine.calls import AnyStage
from brickfilm.engine.pipeline import Source
from brickfilm.engine.stage import Stage
from brickfilm.errors import BrickfilmError, UsageError
from brickfilm.schema.own_modules import add_import_folder, error_location
from brickfilm.schema.training_lengths import TrainingLengths
from brickfilm.sources import FolderSource
from brickfilm.stages import ClipWriter, FrameSampler, SceneSplitter


@runtime_checkable
class Lockable(Protocol):
    """A source that can fetch exactly the videos of a lock file."""

    def locked(self, folder: Path, *, allow_drift: bool = False) -> Source:
        """Return this source, bound to the lock file of a folder."""


@runtime_checkable
class Captioned(Protocol):
    """A source that may bring captions along."""

    @property
    def has_captions(self) -> bool:
        """Return True if it brings any."""


SOURCE_DEFAULTS: dict[str, Any] = {
    parameter.name: parameter.default
    for owner in (FolderSource, source_of)
    for parameter in signature(owner).parameters.values()
}


@dataclass(frozen=True)
class DatasetRecipe:
    """A source, its stages, and the settings of the final pass."""

    source: Source
    stages: Sequence[AnyStage]
    test_fraction: float = 0.05
    """Fraction of videos in the test split."""
    duplicates: DuplicatesMode = "mark"

    @property
    def training_lengths(self) -> TrainingLengths | None:
        """Return the lengths that its shots are split into, or None."""
        return training_lengths_of(self.stages)

    def for_training(self, lengths: TrainingLengths) -> DatasetRecipe:
        """Return the recipe with shots split into lengths that a training can use.

        Raise UsageError if it has no SceneSplitter, or one with other lengths.
        """
        splitters = [stage for stage in self.stages if isinstance(stage, SceneSplitter)]
        if not splitters or any(s.for_training not in (None, lengths) for s in splitters):
            found = "other lengths" if splitters else "no SceneSplitter"
            raise UsageError(
                f"--for {lengths.name}: the recipe has {found}: "
                "write SceneSplitter(for_training=...) into it"
            )
        stages = [
            replace(stage, for_training=lengths) if isinstance(stage, SceneSplitter) else stage
            for stage in self.stages
        ]
        return replace(self, stages=tuple(stages))

    def with_detector(self, name: str) -> DatasetRecipe:
        """Return the recipe with this shot detector; UsageError if it has no SceneSplitter."""
        return self._with_splitters(
            f"--detector {name}", lambda splitter: splitter.with_detector(name)
        )

    def with_measures(self, name: str) -> DatasetRecipe:
        """Return the recipe with this set of measures; UsageError if it has no SceneSplitter."""
        return self._with_splitters(
            f"--measures {name}", lambda splitter: splitter.with_measures(name)
        )

    def _with_splitters(
        self, option: str, change: Callable[[SceneSplitter], SceneSplitter]
    ) -> DatasetRecipe:
        if not any(isinstance(stage, SceneSplitter) for stage in self.stages):
            raise UsageError(f"{option}: the recipe has no SceneSplitter")
        stages = (change(s) if isinstance(s, SceneSplitter) else s for s in self.stages)
        return replace(self, stages=tuple(stages))

    def locked(self, out: Path, *, allow_drift: bool) -> DatasetRecipe:
        """Return the recipe bound to the lock file in `out`."""
        if not isinstance(self.source, Lockable):
            raise UsageError(
                f"--locked: {type(self.source).__name__} writes no lock file: leave --locked out"
            )
        return replace(self, source=self.source.locked(out, allow_drift=allow_drift))


def training_lengths_of(stages: Sequence[AnyStage]) -> TrainingLengths | None:
    """Return `for_training` of the first SceneSplitter that has it, or None."""
    for stage in stages:
        if isinstance(stage, SceneSplitter) and isinstance(stage.for_training, TrainingLengths):
            return stage.for_training
    return None


def resolve_recipe(
    footage: str | Path,
    captions: CaptionOptions,
    *,
    out: Path | None = None,
    sound: bool = False,
    copy: bool = False,
    **of_source: Any,
) -> DatasetRecipe:
    """Load a recipe from a `.py` file, or return the default recipe for videos.

    out: the work folder, whose last prompt is the default.
    of_source: settings of `source_of`. A recipe has its own: then all must be at their defaults.
    Captions that come with the videos are kept if no others are asked for.
    """
    if not str(footage).endswith(".py"):
        source = source_of(footage, **of_source)
        if isinstance(source, Captioned) and not captions.is_given and source.has_captions:
            captions = replace(captions, captions="sidecar")
        return default_recipe(source, captions, out=out, sound=sound, copy=copy)
    footage = Path(footage)
    options = {
        f"--{name.replace('_', '-')}: write {_class_with(name)}(..., {name}={value!r})": value
        != SOURCE_DEFAULTS[name]
        for name, value in of_source.items()
    }
    for flag, value in captions.options():
        options[f"{flag}: write Captioner(...) with it"] = value is not None
    options["--sound: write ClipWriter(sound=True)"] = sound
    options["--copy: write ClipWriter(mode='copy')"] = copy
    for remedy in (remedy for remedy, is_set in options.items() if is_set):
        raise UsageError(f"{remedy} into the recipe {str(footage)!r}")
    return load_recipe(footage)


def _class_with(setting: str) -> str:
    """Return the name of a source that has a setting."""
    return "FolderSource" if setting in signature(FolderSource).parameters else "HubSource"


def default_recipe(
    source: Source,
    captions: CaptionOptions,
    *,
    out: Path | None = None,
    sound: bool = False,
    copy: bool = False,
) -> DatasetRecipe:
    """Return shots of 15-200 frames, three stills, and captions."""
    writer = ClipWriter(sound=sound, mode="copy" if copy else "encode")
    writers: list[AnyStage] = [writer] if sound or copy else []
    return DatasetRecipe(source, [SceneSplitter(), *writers, FrameSampler(), *captions.stages(out)])


def load_recipe(path: Path) -> DatasetRecipe:
    """Read the names `source` and `stages` (and `test_fraction`, `duplicates`) of a Python file."""
    if not path.is_file():
        raise UsageError(f"there is no recipe {str(path)!r}")
    module = _run_recipe(path)
    cloudpickle.register_pickle_by_value(module)  # workers cannot import it: its stages travel
    if missing := [name for name in ("source", "stages") if not hasattr(module, name)]:
        raise UsageError(
            f"the recipe {str(path)!r} defines no {' and no '.join(missing)}: it needs "
            "source = ... and stages = (...) at its top level"
        )
    source = module.source
    return DatasetRecipe(
        source_of(source) if isinstance(source, str | Path) else source,
        _check_stages(path, module.stages),
        getattr(module, "test_fraction", 0.05),
        getattr(module, "duplicates", "mark"),
    )


def _run_recipe(path: Path) -> ModuleType:
    """Import a recipe file; raise UsageError with the line that fails.

    Its folder comes last in `sys.path`, so that it can import files beside it, and a recipe called
    html.py hides no module of the standard library; spawned workers inherit `sys.path`.
    """
    add_import_folder(path.resolve().parent)
    spec = importlib.util.spec_from_file_location("brickfilm_recipe", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UsageError(f"the recipe {str(path)!r} is not valid Python: {error}") from error
    except BrickfilmError:
        raise
    except Exception as error:  # a recipe is anybody's code
        raise UsageError(f"the recipe {str(path)!r} fails {error_location(path, error)}") from error
    return module


def _check_stages(path: Path, stages: object) -> tuple[AnyStage, ...]:
    """Return the stages of a recipe; raise UsageError for anything that is not a stage."""
    items = tuple(stages) if isinstance(stages, Sequence) else (stages,)
    for item in items:
        if not isinstance(stages, Sequence) or not isinstance(item, Stage):
            raise UsageError(
                f"the recipe {str(path)!r} has stages with {item!r} in the place of a stage: "
                "it needs stages = (SceneSplitter(), ...), a tuple, with a comma after a single one"
            )
    return items
