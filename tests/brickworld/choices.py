"""Valid values of a film's fields, and the error for others."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from brickfilm.errors import UsageError

SCENES = ("street", "castle", "space", "harbour", "forest")
PALETTES = ("classic", "pastel", "earth", "neon", "winter")
CAMERAS = ("static", "pan", "dolly", "nudge", "handheld", "whip")
LIGHTINGS = ("day", "dusk", "night", "lamp", "overcast")
SPEEDS = {"slow": 0.5, "medium": 1.2, "fast": 3.6}
"""Distance that things move between two drawings, as a factor on a walking pace."""
VFR = ("jitter", "half", "random-holds", "drop-third")
KINDS = ("action", "frozen", "title")
JOINS = ("cut", "fade", "crossfade", "wipe")


class RenderError(UsageError):
    """A film's fields are invalid."""


def check(name: str, value: str | None, allowed: Iterable[str]) -> None:
    """Raise RenderError unless `value` is None or one of `allowed`; name the nearest."""
    words = list(allowed)
    if value is None or value in words:
        return
    near = get_close_matches(value, words, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "choose another"
    raise RenderError(f"{name}={value!r} is not one of {', '.join(words)}: {hint}")
