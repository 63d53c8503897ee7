"""The report: one page that shows what a build made, and what became of all the rest.

A section is a function of the `Material` and a template; a new one is a file in `sections/`, a
template beside the others, and a line in `sections/__init__.py`.
"""

from brickfilm.report.context import Material
from brickfilm.report.page import write_report

__all__ = ["Material", "write_report"]
