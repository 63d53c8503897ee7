"""The Python API warns where the command line does."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from brickfilm import FolderSource, SceneSplitter, build_dataset
from tests.kit.inline_executor import InlineExecutor
from tests.kit.small_build import two_shots


def test_failures_and_an_empty_dataset_are_a_warning(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "empty.mp4").touch()
    executor = InlineExecutor()
    with pytest.warns(UserWarning, match=r"1 item failed, no clips were produced: .*report.html"):
        build_dataset(
            FolderSource(films), SceneSplitter(), workdir=tmp_path / "w", executor=executor
        )
    (films / "empty.mp4").unlink()
    two_shots(films / "good.mp4", size=(64, 36))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        build_dataset(
            FolderSource(films), SceneSplitter(), workdir=tmp_path / "w", executor=executor
        )
    executor.close()
