"""Build a short drawn video in this process, for tests of what a build writes and reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from brickfilm import FolderSource, FrameSampler, SceneSplitter
from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.engine.stage import Stage
from tests.kit.footage import shots_bytes
from tests.kit.inline_executor import InlineExecutor


def two_shots(path: Path, *, size: tuple[int, int], seed: int = 0) -> Path:
    """Write shots of 20 and 24 frames at 24 a second; return the video's path."""
    path.write_bytes(shots_bytes(20, 24, width=size[0], height=size[1], block=6, step=2, seed=seed))
    return path


def inline_build(source: FolderSource, *stages: Stage[Any, Any], workdir: Path) -> BuildResult:
    """Build without worker processes, whose start takes seconds."""
    executor = InlineExecutor()
    try:
        return build(source, stages, workdir=workdir, executor=executor)
    finally:
        executor.close()


def built(film: Path, work: Path, *more: Stage[Any, Any]) -> BuildResult:
    """Split a video and take stills of its shots; `more` stages follow."""
    return inline_build(FolderSource(film), SceneSplitter(), FrameSampler(), *more, workdir=work)
