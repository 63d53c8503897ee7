"""The rules of a caption, checked: for captions of any origin."""

from __future__ import annotations

from brickfilm.captions.lint.rules import (
    RULES,
    Finding,
    complaint,
    count_rules,
    lint,
)

__all__ = [
    "Finding",
    "RULES",
    "complaint",
    "count_rules",
    "lint",
]
