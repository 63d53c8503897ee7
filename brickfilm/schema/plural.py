"""Counts with their nouns, in messages."""

from __future__ import annotations


def pluralize(count: int, word: str) -> str:
    """Return a count with its noun, as '1 clip' or '2,000 clips'."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")
