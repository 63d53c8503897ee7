"""Export captions to .csv or .jsonl for a person, and import what the person changed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from brickfilm.captions.caption_files import AbsentCell, TableRow, read_rows
from brickfilm.engine.ledger import CaptionEdit, save_edits
from brickfilm.errors import UsageError
from brickfilm.files import atomic_write
from brickfilm.review.captions import ReviewedCaption, edit_of, list_captions
from brickfilm.schema.csv_cells import quoted_cell, unquoted_cell

COLUMNS = ("id", "caption", "status", "reject", "note", "model", "source_id")
EDITABLE = ("caption", "status", "reject", "note")
_YES, _NO = ("1", "true", "yes", "y", "x"), ("", "0", "false", "no", "n")


def export_captions(work: str | Path, file: Path) -> int:
    """Write the captions of a work folder to a .csv or .jsonl file; return their number.

    In .csv, a text that a spreadsheet would run as a formula begins with a quote, which
    `import_captions` takes away.
    """
    writers = {".csv": _csv_text, ".jsonl": _jsonl_text}
    if file.suffix not in writers:
        raise UsageError(f"--to {str(file)!r}: give a .csv or .jsonl file")
    rows = list_captions(work)
    text = writers[file.suffix](rows)
    try:
        with atomic_write(file) as stream:
            stream.write(text.encode("utf-8-sig" if file.suffix == ".csv" else "utf-8"))
    except OSError as error:
        raise UsageError(f"{str(file)!r} cannot be written: {error.strerror}") from error
    return len(rows)


def import_captions(work: str | Path, file: Path) -> list[CaptionEdit]:
    """Store the rows of a .csv, .jsonl or .parquet file that differ from the folder's captions.

    Rows are found by `id`. Of `caption`, `status`, `reject` and `note`, what a row leaves out (no
    column, or an absent or null field of JSON or Parquet) stays as it is. Raise UsageError with
    the line of a wrong row; then nothing is stored.
    """
    rows = read_rows(file)
    if rows and ("id" not in rows[0].cells or not set(EDITABLE) & set(rows[0].cells)):
        wanted = f"'id' and one of {', '.join(EDITABLE)}"
        raise UsageError(f"{str(file)!r} needs the columns {wanted}; it has {[*rows[0].cells]}")
    edits = list(_edits(rows, {row.id: row for row in list_captions(work)}))
    save_edits(work, edits)
    return edits


def _edits(rows: Sequence[TableRow], current: dict[str, ReviewedCaption]) -> Iterator[CaptionEdit]:
    lines: dict[str, int] = {}
    for row in rows:
        item = row.cells["id"]
        if lines.setdefault(item, row.line) != row.line:
            raise row.error(f"id={item!r} is already in line {lines[item]}")
        try:
            edit = edit_of(_review(row, current.get(item)), current.get(item))
        except UsageError as error:
            raise error if str(error).startswith(row.file) else row.error(str(error)) from error
        if edit:
            yield edit


def _review(row: TableRow, current: ReviewedCaption | None) -> ReviewedCaption:
    """Return a row as a review; what it has no column for stays as it is."""
    base = current or ReviewedCaption(id=row.cells["id"], caption="")
    cells = {k: v for k, v in row.cells.items() if not isinstance(v, AbsentCell)}
    if row.file.endswith(".csv"):
        cells = {name: unquoted_cell(text) for name, text in cells.items()}
    return replace(
        base,
        caption=cells.get("caption", base.caption),
        status=cells.get("status", base.status),
        reject=_flag(row) if "reject" in cells else base.reject,
        note=cells.get("note", base.note),
    )


def _flag(row: TableRow) -> bool:
    value = row.cells["reject"].lower()
    if value not in (*_YES, *_NO):
        raise row.error(f"reject={value!r} is neither yes nor no")
    return value in _YES


def _csv_text(rows: Sequence[ReviewedCaption]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in rows:
        cells = asdict(row) | {"reject": "yes" if row.reject else ""}
        writer.writerow([quoted_cell(cells[name]) for name in COLUMNS])
    return out.getvalue()


def _jsonl_text(rows: Sequence[ReviewedCaption]) -> str:
    return "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
