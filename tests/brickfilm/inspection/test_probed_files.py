"""`brickfilm probe`: what a build would see of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brickfilm.cli import app
from brickfilm.errors import UsageError
from brickfilm.inspection import probe_files


def test_a_video_and_a_broken_one(small: Path, tmp_path: Path) -> None:
    (tmp_path / "good.mp4").write_bytes((small.parent / "film.mp4").read_bytes())
    (tmp_path / "half.mp4").write_bytes((small.parent / "film.mp4").read_bytes()[:900])
    (tmp_path / "notes.txt").write_text("no video")
    good, half, *_ = sorted(probe_files(tmp_path), key=lambda file: file.source_id)
    assert good.video is not None and good.error is None
    assert (good.video.width, good.video.height, good.video.fps) == (128, 72, 24)
    assert half.video is None and half.error is not None
    result = CliRunner().invoke(app, ["probe", str(tmp_path), "--json"])
    assert result.exit_code == 1
    told = {file["source_id"]: file for file in json.loads(result.stdout)}
    assert told["good.mp4"]["conversions"] == "none"
    assert told["good.mp4"]["id"] == good.video.id
    assert "half.mp4" in told["half.mp4"]["not_used"]


def test_one_good_file_is_exit_code_0(small: Path) -> None:
    result = CliRunner().invoke(app, ["probe", str(small.parent / "film.mp4")])
    assert result.exit_code == 0
    assert "128x72" in result.output


def test_footage_elsewhere_is_refused() -> None:
    with pytest.raises(UsageError, match="not on this machine"):
        list(probe_files("https://example.org/a.mp4"))
