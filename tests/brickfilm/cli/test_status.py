"""Output of `brickfilm status`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from brickfilm import FolderSource, SceneSplitter
from brickfilm.build.build_dataset import build
from brickfilm.cli import app
from brickfilm.cli.app import PlainConsole
from brickfilm.cli.status import status_tables
from brickfilm.engine.ledger import ItemResult, Ledger
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.errors import UsageError
from tests.kit.toy_capabilities import Half


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


@pytest.mark.parametrize("value", ["NULL", "'x'", "-9e999", "9223372036854775807", "x'fffe'"])
def test_values_of_other_types_are_shown_or_one_line(value: str, tmp_path: Path) -> None:
    """A damaged or strange ledger may have anything in its columns."""
    failed = ItemResult(
        position=0, stage="Probe", kind="listing", item="a", source_id="a", status="failed"
    )
    part = Half("first")
    with Ledger(tmp_path) as ledger:
        ledger.register_parts([part])
        with ledger.transaction():
            ledger.put(part.digest, "key", {}, item="a")
        ledger.save_results([failed])
    with closing(sqlite3.connect(tmp_path / FILENAME)) as db:
        db.execute(f"UPDATE result_labels SET kind = {value}, outcome = {value}, reason = {value}")
        db.execute(f"UPDATE results SET message = {value}")
        db.execute(f"UPDATE result_items SET seconds = {value}")
        db.execute(f"UPDATE answers SET answer = {value}, at = {value}, seconds = {value}")
        db.commit()
    for command in (["status", str(tmp_path)], ["why", str(tmp_path), "a"]):
        try:
            app(command, standalone_mode=False)
        except UsageError as error:
            assert "\n" not in str(error)
