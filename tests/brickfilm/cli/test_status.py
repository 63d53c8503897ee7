"""Output of `brickfilm status`."""

from __future__ import annotations

from pathlib import Path

from brickfilm import FolderSource, SceneSplitter
from brickfilm.build.build_dataset import build
from brickfilm.cli.app import PlainConsole
from brickfilm.cli.status import status_tables
from brickfilm.engine.ledger import ItemResult, Ledger


def test_status_names_what_failed_and_why(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "empty[bold].mp4").touch()
    build(FolderSource(films), (SceneSplitter(),), workdir=tmp_path / "w")
    console = PlainConsole(width=160)
    with console.capture() as shown:
        console.print(*status_tables(tmp_path / "w"))
    assert "empty[bold].mp4" in shown.get()
    assert "is empty (0 bytes)" in shown.get()


def test_equal_failures_are_one_row_that_names_the_videos(tmp_path: Path) -> None:
    names = [f"film {n}.mp4" for n in range(3)]
    failed = [
        ItemResult(
            position=0,
            stage="Probe",
            kind="listing",
            item=name,
            source_id=name,
            status="failed",
            reason="unreadable",
            message=f"'{name}' is empty (0 bytes): fetch it again",
        )
        for name in names
    ]
    with Ledger(tmp_path) as ledger:
        ledger.save_results(failed)
    console = PlainConsole(width=200)
    with console.capture() as shown:
        console.print(*status_tables(tmp_path))
    (line,) = [line for line in shown.get().splitlines() if "is empty" in line]
    assert "'...' is empty (0 bytes): fetch it again" in line
    assert "film 0.mp4, film 1.mp4, film 2.mp4" in line
