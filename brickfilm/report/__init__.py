"""Write the report of a build: one HTML page of what it made, rejected and left unfinished.

A section is a function of the `ReportContext`, and a template of the same name. To add one, write a
file in `sections/` and its template, and add a line to `sections/__init__.py`.
"""

from brickfilm.report.context import NEAR_DUPLICATES, ReportContext
from brickfilm.report.page import write_report

__all__ = ["NEAR_DUPLICATES", "ReportContext", "write_report"]
