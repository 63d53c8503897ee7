"""Build a short drawn video in this process, for tests of what a build writes and reads."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from brickfilm import FolderSource, FrameSampler, SceneSplitter
from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.engine.stage import Stage
from tests.brickworld import BrickFilm, Shot
from tests.kit.inline_executor import InlineExecutor


def two_shots(path: Path, *, seed: int, size: tuple[int, int]) -> Path:
    """Draw shots of 20 and 24 frames at 24 a second; return the video's path."""
    shots = (Shot(frames=20), Shot(frames=24))
    BrickFilm(seed=seed, fps=Fraction(24), size=size, shots=shots).render(path)
    return path


def built(film: Path, work: Path, *more: Stage[Any, Any]) -> BuildResult:
    """Split a video and take stills of its shots; `more` stages follow."""
    executor = InlineExecutor()
    try:
        stages = (SceneSplitter(), FrameSampler(), *more)
        return build(FolderSource(film), stages, workdir=work, executor=executor)
    finally:
        executor.close()
