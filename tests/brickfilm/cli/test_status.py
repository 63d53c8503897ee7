"""Output of `brickfilm status`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from brickfilm import FolderSource, SceneSplitter
from brickfilm.build.build_dataset import build
from brickfilm.cli.status import status_tables


def test_status_names_what_failed_and_why(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "empty[bold].mp4").touch()
    build(FolderSource(films), (SceneSplitter(),), workdir=tmp_path / "w")
    console = Console(width=160)
    with console.capture() as shown:
        console.print(*status_tables(tmp_path / "w"))
    assert "empty[bold].mp4" in shown.get()
    assert "is empty (0 bytes)" in shown.get()
