"""The rules of a caption, checked: for captions of any origin."""

from __future__ import annotations

from brickfilm.captions.lint.rules import (
    RULES,
    Finding,
    count_rules,
    lint,
    revision_prompt,
)

__all__ = [
    "RULES",
    "Finding",
    "count_rules",
    "lint",
    "revision_prompt",
]
