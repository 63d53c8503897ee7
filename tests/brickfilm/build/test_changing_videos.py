"""Videos that vanish or change while they are built fail by themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brickfilm.build.build_dataset import build
from brickfilm.media import sha256_of
from brickfilm.sources import FolderSource
from brickfilm.stages import ClipWriter, SceneSplitter
from tests.kit.inline_executor import InlineExecutor
from tests.kit.odd_videos import Film


class MeddlingExecutor(InlineExecutor):
    """Change a file before a stage runs."""

    def __init__(self, stage: str, change: Callable[[], object]) -> None:
        super().__init__()
        self.stage, self.change = stage, change

    def submit(self, stage: Any, *args: Any) -> Any:
        if self.stage in type(stage).__name__:
            self.change()
        return super().submit(stage, *args)


def other_film(path: Path) -> None:
    path.unlink(missing_ok=True)
    Film(frames=30, rate=30, size=(96, 64)).write(path)


def other_pictures(path: Path) -> None:
    """Write as many frames at the same times: only the pictures differ."""
    path.unlink(missing_ok=True)
    Film(frames=40, pix_fmt="yuv444p").write(path)


def vanish(path: Path) -> None:
    path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("stage", "change", "reason"),
    [
        ("SceneSplitter", other_pictures, "changed"),
        ("FusedSinks", vanish, "unreadable"),
        ("FusedSinks", other_film, "changed"),
        pytest.param("SceneSplitter", vanish, "unreadable", marks=pytest.mark.slow),
        pytest.param("SceneSplitter", other_film, "changed", marks=pytest.mark.slow),
        pytest.param("FusedSinks", other_pictures, "changed", marks=pytest.mark.slow),
    ],
)
def test_a_video_that_vanishes_or_changes_fails_by_itself(
    stage: str, change: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    Film(frames=40).write(films / "a.mp4")
    Film(frames=20).write(films / "b.mp4")
    executor = MeddlingExecutor(stage, lambda: change(films / "a.mp4"))
    stages = (SceneSplitter(), ClipWriter())
    result = build(FolderSource(films), stages, workdir=tmp_path / "work", executor=executor)
    failed = [r for r in result.item_results if r.status == "failed"]
    assert {r.source_id for r in failed} == {"a.mp4"}
    assert all("a.mp4" in r.message for r in failed)
    assert {r.reason for r in failed} <= {reason, "unreadable"}
    kept = result.dataset["clips"]["train"]
    assert [row["source_id"] for row in kept.remove_columns("video")] == ["b.mp4"]
    assert result.exit_code == 1


def test_a_video_that_changed_is_built_anew_by_the_next_run(tmp_path: Path) -> None:
    films, stages = tmp_path / "films", (SceneSplitter(), ClipWriter())
    films.mkdir()
    Film(frames=40).write(films / "a.mp4")
    executor = MeddlingExecutor("SceneSplitter", lambda: other_pictures(films / "a.mp4"))
    first = build(FolderSource(films), stages, workdir=tmp_path / "work", executor=executor)
    assert [r.message for r in first.item_results if r.status == "failed"] == [
        "'a.mp4' changed during the build: run again"
    ]
    again = build(FolderSource(films), stages, workdir=tmp_path / "work", executor=InlineExecutor())
    (row,) = again.dataset["clips"]["train"].remove_columns("video")
    assert row["id"].startswith(sha256_of(films / "a.mp4")[:16])
    assert "yuv444p to yuv420p" in row["conversions"]
