"""Format numbers, times and sizes of a plan."""

from __future__ import annotations

from finetune.planning.cost import GIB


def format_number(value: float) -> str:
    """Format a number with two digits at least."""
    return f"{value:,.1f}" if value >= 1 else f"{value:.2g}"


def format_hours(hours: float) -> str:
    """Format hours as `2.5 h`, `12.0 min` or `30.0 s`."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.1f} s"


def format_bytes(count: float) -> str:
    """Format bytes as `1.7 GiB` or `9.0 MiB`."""
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / 2**20:,.1f} MiB"
