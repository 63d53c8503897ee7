"""Result of a validation: problems counted by kind, with the ids of some rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

EXAMPLES_PER_PROBLEM = 5
"""Row ids that are kept of each kind of problem."""
Problem = tuple[str, str]
"""(kind of problem, id of the row; empty if it concerns a whole file)"""


@dataclass
class ValidationReport:
    """Rows that were checked, and the problems in them."""

    rows: int = 0
    reference_rows: int = 0
    """Rows among them without a media column: nothing of them is decoded."""
    seconds: float = 0.0
    problems: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """Return True if there is no problem."""
        return not self.problems

    @property
    def rows_per_second(self) -> float:
        """Return the rows checked in a second of wall time."""
        return self.rows / max(1e-9, self.seconds)

    def add(self, problems: Iterable[Problem]) -> None:
        """Count problems, and keep the first EXAMPLES_PER_PROBLEM ids of each kind."""
        for kind, row_id in problems:
            self.problems[kind] += 1
            examples = self.examples.setdefault(kind, [])
            if len(examples) < EXAMPLES_PER_PROBLEM:
                examples.append(row_id)
