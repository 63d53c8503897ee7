"""Find the passages of a caption that match a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator

TextMatch = tuple[str, int]
"""A passage that breaks a rule, and the position of its first character."""


def find_matches(pattern: re.Pattern[str], text: str) -> Iterator[TextMatch]:
    """Yield every match of a pattern, stripped of white space."""
    return ((m.group(0).strip(), m.start()) for m in pattern.finditer(text))
