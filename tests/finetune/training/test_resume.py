"""The lock of a run folder, and recovery of a checkpoint whose replacement was killed."""

from __future__ import annotations

from pathlib import Path

from finetune.training.resume import lock_run_folder


def test_a_checkpoint_whose_replacement_was_killed_is_recovered(tmp_path: Path) -> None:
    for name in (".step-00000002.replaced", ".step-00000004.replaced", "step-00000004"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(name)
    with lock_run_folder(tmp_path):
        folders = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
        assert folders == ["step-00000002", "step-00000004"]
        assert (tmp_path / "step-00000004" / "manifest.json").read_text() == "step-00000004"
