"""Shards and their merge as a user types them, alone and in the scripts for Slurm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer.main
from typer.testing import CliRunner

from brickfilm.cli import app
from brickfilm.errors import UsageError
from tests.kit import ROOT
from tests.kit.odd_videos import Film

SRUN = f"""#!/bin/sh
shift
exec {sys.executable} -m brickfilm "$@"
"""


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    if isinstance(result.exception, UsageError):
        raise result.exception
    return result.exit_code, result.output


def test_options_of_shards_say_what_is_wrong(tmp_path: Path) -> None:
    call = ["build", str(tmp_path), "--out", str(tmp_path / "out"), "--captions", "none"]
    with pytest.raises(UsageError, match="write i/n"):
        run(*call, "--shard", "1")
    with pytest.raises(UsageError, match="--take-over is for a shard"):
        run(*call, "--take-over")
    with pytest.raises(UsageError, match="has no shards"):
        run("merge", *call[1:])
    (tmp_path / "out" / "shards" / "0-of-2").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"has 2 shards, not 3"):
        run(*call, "--shard", "0/3", "--dry-run")


def test_merge_has_the_options_of_build() -> None:
    commands = typer.main.get_command(app).commands
    build, merge = (
        {param.name: param.opts for param in commands[name].params} for name in ("build", "merge")
    )
    alone = {"dry_run", "wait", "shard", "take_over", "ray", "replace"}
    assert build.keys() - merge.keys() == alone
    assert merge.keys() - build.keys() == {"folders", "partial"}
    assert all(merge[name] == build[name] for name in build.keys() & merge.keys())


@pytest.mark.slow
def test_the_scripts_for_slurm_build_and_merge(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    for rate, name in ((24, "a"), (25, "b")):
        Film(rate=rate).write(tmp_path / "films" / f"{name}.mp4")
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(0o755)
    here = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "SHARDS": "2"}

    def submit(script: str, task: str) -> None:
        subprocess.run(
            ["bash", str(ROOT / "recipes/slurm" / script), "films", "out", "--captions", "none"],
            cwd=tmp_path,
            env={**os.environ, **here, "SLURM_ARRAY_TASK_ID": task},
            check=True,
            timeout=300,
        )

    for task in "01":
        submit("build.sbatch", task)
    submit("merge.sbatch", "")
    rows = [pq.read_table(path) for path in (tmp_path / "out/dataset/clips").glob("*.parquet")]
    assert {name for table in rows for name in table["source_id"].to_pylist()} == {"a.mp4", "b.mp4"}
