"""Find out from a licence's text if it allows redistribution, and its identifier on the Hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from brickfilm.errors import UsageError

OPEN_PATTERNS = {
    "cc0-1.0": r"cc0|public.?domain|pdm|no known copyright",
    "cc-by-sa": r"(cc|creative.?commons).{0,40}(by-sa|share.?alike)",
    "cc-by": r"(cc.by\b|creative.?commons.{0,40}(attribution|reuse allowed|\bby\b))",
    "apache-2.0": r"^(the )?apache(.licen[cs]e)?(,? version)?([ -]?2(\.0)?)?$",
    "bsd-2-clause": r"\bbsd.?2\b",
    "bsd-3-clause": r"\bbsd\b",
    "mit": r"^(the )?mit( licen[cs]e)?$",
}
"""Hub identifier to a pattern of how sources write it; the first match counts. YouTube's only open
licence reads 'Creative Commons Attribution license (reuse allowed)'."""
HUB_VERSIONS = {"cc-by": ("2.0", "2.5", "3.0", "4.0"), "cc-by-sa": ("3.0", "4.0")}
"""Versions with an identifier of their own on the Hub; others become 'cc', no version the last."""
CLOSED_PATTERN = re.compile(
    r"(non.?commercial|no.?deriv|\bnc\b|\bnd\b|-nc|-nd|rights reserved|\bnot\b)", re.IGNORECASE
)
"""Clips are cut and scaled, which 'no derivatives' forbids; 'non-commercial' restricts users."""


class LicenceError(UsageError):
    """The licence of some pictures does not allow redistribution."""


@dataclass(frozen=True)
class LicenceUsage:
    """A licence, as the sources write it, and how much of the dataset is under it."""

    source_text: str
    videos: int
    clips: int
    stills: int
    hours: float
    """Of the clips."""

    @property
    def hub_id(self) -> str | None:
        """Return the Hub's identifier, or None if the licence is not open or not known."""
        return hub_licence_id(self.source_text)


def hub_licence_id(source_text: str) -> str | None:
    """Return the Hub's identifier of an open licence; None for any other text."""
    if CLOSED_PATTERN.search(source_text):
        return None
    words = source_text.strip().lower().replace("_", "-")
    name = next((n for n, pattern in OPEN_PATTERNS.items() if re.search(pattern, words)), None)
    if name is None or name not in HUB_VERSIONS:
        return name
    number = re.search(r"\b\d\.\d\b", words)
    version = number[0] if number else HUB_VERSIONS[name][-1]
    return f"{name}-{version}" if version in HUB_VERSIONS[name] else "cc"


def check_licence_is_known(source_text: str) -> str:
    """Return the text of a licence; raise UsageError if it is neither open nor closed for sure."""
    if not source_text or hub_licence_id(source_text) or CLOSED_PATTERN.search(source_text):
        return source_text
    names = [
        f"{name}-{HUB_VERSIONS[name][-1]}" if name in HUB_VERSIONS else name
        for name in OPEN_PATTERNS
    ]
    raise UsageError(
        f"licence={source_text!r} is not known: write {', '.join(names)} or their like, "
        "or 'all rights reserved' for videos that may not be redistributed"
    )


def common_licence(source_texts: Iterable[str]) -> str:
    """Return the Hub's identifier of the licence that all rows share, else 'other'."""
    ids = {hub_licence_id(text) for text in source_texts}
    return ids.pop() or "other" if len(ids) == 1 else "other"


def check_redistribution(counts: Mapping[str, int]) -> None:
    """Raise LicenceError if a licence does not allow redistribution.

    counts: number of rows by the licence's text.
    """
    closed = {text: n for text, n in counts.items() if hub_licence_id(text) is None}
    if not closed:
        return
    listed = ", ".join(f"{n} under {t or 'no stated licence'!r}" for t, n in closed.items())
    raise LicenceError(
        f"{sum(closed.values())} of {sum(counts.values())} clips and stills have no open licence "
        f"({listed}): publish references with media='none' (--media none); or, if you hold the "
        "rights to these pictures, pass i_have_the_rights=True (--i-have-the-rights)"
    )
