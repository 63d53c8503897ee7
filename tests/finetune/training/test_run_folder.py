"""A run's folder is new, empty, or a run's."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.errors import ConfigError
from finetune.training.resume import lock_run_folder
from tests.kit.snapshot import snapshot


@pytest.mark.parametrize("name", ["metrics.jsonl", "log.txt", "summary.json", "validation"])
def test_files_of_others_are_not_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(ConfigError, match=f"holds {name} and no run"), lock_run_folder(tmp_path):
        pass
    assert snapshot(tmp_path) == before


def test_a_run_and_a_copy_without_hidden_files_are_ours(tmp_path: Path) -> None:
    with lock_run_folder(tmp_path / "run"):
        (tmp_path / "run/metrics.jsonl").touch()
    with lock_run_folder(tmp_path / "run"):
        pass
    (tmp_path / "copy/step-00000001").mkdir(parents=True)
    (tmp_path / "copy/step-00000001/manifest.json").touch()
    (tmp_path / "copy/metrics.jsonl").touch()
    with lock_run_folder(tmp_path / "copy"):
        pass
