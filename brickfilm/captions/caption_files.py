"""Read captions from .csv, .jsonl, .parquet and .txt files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from brickfilm.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

CAPTION_COLUMNS = ("caption", "text")


def read_captions(file: Path, column: str | None = None) -> list[str]:
    """Return the captions of a file in its order, without empty ones; UsageError if unreadable."""
    try:
        if file.suffix == ".txt":
            return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line]
        table = _read_table(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{str(file)!r} cannot be read: {error}") from error
    return [str(caption) for caption in table[_caption_column(table, column, file)].dropna()]


def _read_table(file: Path) -> pd.DataFrame:
    import pandas as pd

    match file.suffix:
        case ".csv":
            return pd.read_csv(file)
        case ".jsonl":
            return pd.read_json(file, lines=True, dtype=False)
        case ".parquet":
            return pd.read_parquet(file)
    raise UsageError(f"{str(file)!r}: give a .csv, .jsonl, .parquet or .txt file")


def _caption_column(table: pd.DataFrame, column: str | None, file: Path) -> str:
    names = [column] if column else CAPTION_COLUMNS
    for name in names:
        if name in table.columns:
            return name
    columns = ", ".join(map(str, table.columns))
    raise UsageError(f"{str(file)!r} has no column {names[0]!r}: pass --column, one of {columns}")
