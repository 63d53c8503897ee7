"""What commands print of names, titles and captions that anybody may have written."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.table import Table

from brickfilm.cli.app import PlainConsole, print_json
from brickfilm.engine.progress import show_progress
from brickfilm.engine.queue import StageQueue
from tests.kit.toy_capabilities import Copy

HOSTILE = "[/red]\x1b]0;title\x07[bold]:smile: \x9b2J"
SHOWN = "[/red]\\u001b]0;title\\u0007[bold]:smile: \\u009b2J"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_text_and_tables_are_no_markup_and_control_no_terminal() -> None:
    console = PlainConsole(file=io.StringIO(), width=200)
    table = Table("title", title=HOSTILE)
    table.add_row(HOSTILE)
    console.print(HOSTILE, table)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert printed.count(SHOWN) == 3
    assert "\x1b" not in printed


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"title": HOSTILE})
    printed = capsys.readouterr().out
    assert "\x9b" not in printed and json.loads(printed) == {"title": HOSTILE}


@dataclass(frozen=True)
class Downloading(Copy):
    def active_downloads(self) -> Sequence[str]:
        return (HOSTILE,)


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_titles_of_downloads_are_plain(
    stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr("brickfilm.engine.progress.PLAIN_LINE_SECONDS", 0.0)
    with show_progress() as progress:
        progress.update([StageQueue(0, Downloading(log=Path()), 1)], [])
    printed = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert SHOWN in printed
    assert "\x1b]0;" not in printed and "\x9b" not in printed
