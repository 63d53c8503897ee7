"""The report: one page that shows what a build made, and what became of all the rest.

A section is a function of the `ReportContext` and a template; a new one is a file in `sections/`, a
template beside the others, and a line in `sections/__init__.py`.
"""

from brickfilm.report.context import ReportContext
from brickfilm.report.page import write_report

__all__ = ["ReportContext", "write_report"]
