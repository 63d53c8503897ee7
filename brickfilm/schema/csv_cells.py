"""Write text into CSV files that people open in a spreadsheet, which runs formulas."""

from __future__ import annotations

import re

FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""Beginnings that Excel, LibreOffice and Google Sheets take for a formula, quoted or not."""


def quoted_cell(text: str) -> str:
    """Return a text that is no formula: with a quote before it if it looks like one."""
    return f"'{text}" if FORMULA.match(text) else text


def unquoted_cell(text: str) -> str:
    """Return the text of `quoted_cell`."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text
