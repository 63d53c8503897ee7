"""A source of one's own, as docs/write-a-source.md writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from brickfilm.cli import app
from brickfilm.records import GivenSpan
from brickfilm.schema.own_modules import import_object
from tests.kit.pages import named, snippets


def test_the_source_of_the_page_lists_videos_with_their_spans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (catalogue,) = [s.text for s in snippets("json") if s.page.name == "write-a-source.md"]
    Path("catalogue.json").write_text(catalogue)
    for name in ("catalogue.py", "archive.py"):
        Path(name).write_text(named(name))
    app(["build", "archive.py", "--out", "work", "--dry-run"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "harbour-1  Harbour" in printed and "1 file to download" in printed
    source = import_object("catalogue:Catalogue")("catalogue.json")  # type: ignore[operator]
    (video,) = source.items()
    assert video.spans == (
        GivenSpan(start=2.0, end=6.5, caption="A small boat rocks on the water."),
    )
    assert (video.licence, video.uploader) == ("CC BY 4.0", "A club")
