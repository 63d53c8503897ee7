"""Which licences let anybody pass pictures on, and what the Hub calls them."""

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
    "bsd-3-clause": r"\bbsd\b",
    "mit": r"^(the )?mit( licen[cs]e)?$",
}
"""Hub identifiers and how sources write them; the first that fits counts. YouTube's one open
licence reads 'Creative Commons Attribution license (reuse allowed)'."""
HUB_VERSIONS = {"cc-by": ("2.0", "2.5", "3.0", "4.0"), "cc-by-sa": ("3.0", "4.0")}
"""Those with an identifier of their own on the Hub, where others go by 'cc'; unnamed, the last."""
CLOSED_PATTERN = re.compile(
    r"(non.?commercial|no.?deriv|\bnc\b|\bnd\b|-nc|-nd|rights reserved|\bnot\b)", re.IGNORECASE
)
"""Clips are cut and scaled: 'no derivatives' forbids it; 'non-commercial' binds who takes them."""


class LicenceError(UsageError):
    """Pictures whose licence does not let us pass them on."""


@dataclass(frozen=True)
class LicenceUsage:
    """One licence, as the sources write it, and how much of the dataset is under it."""

    source_text: str
    videos: int
    clips: int
    stills: int
    hours: float
    """Of the clips."""

    @property
    def hub_id(self) -> str | None:
        """The Hub's identifier, or None where the licence is not open or not known."""
        return hub_licence_id(self.source_text)


def hub_licence_id(source_text: str) -> str | None:
    """The Hub's identifier of an open licence; None for all that is not plainly open."""
    if CLOSED_PATTERN.search(source_text):
        return None
    words = source_text.strip().lower().replace("_", "-")
    name = next((name for name, sign in OPEN_PATTERNS.items() if re.search(sign, words)), None)
    if name is None or name not in HUB_VERSIONS:
        return name
    told = re.search(r"\b\d\.\d\b", words)
    version = told[0] if told else HUB_VERSIONS[name][-1]
    return f"{name}-{version}" if version in HUB_VERSIONS[name] else "cc"


def check_licence_is_known(source_text: str) -> str:
    """A licence in somebody's own words; raises UsageError where we cannot tell if it is open."""
    if not source_text or hub_licence_id(source_text) or CLOSED_PATTERN.search(source_text):
        return source_text
    names = [
        f"{name}-{HUB_VERSIONS[name][-1]}" if name in HUB_VERSIONS else name
        for name in OPEN_PATTERNS
    ]
    raise UsageError(
        f"licence={source_text!r} is not known: write {', '.join(names)} or their like, "
        "or 'all rights reserved' for films that nobody may pass on"
    )


def common_licence(source_text: Iterable[str]) -> str:
    """One tag for the card: the licence all rows share, else 'other'."""
    found = {hub_licence_id(licence) for licence in source_text}
    return found.pop() or "other" if len(found) == 1 else "other"


def check_redistribution(counts: Mapping[str, int]) -> None:
    """Refuse pixels that nobody may pass on; `counts` are rows by licence as source_text."""
    closed = {w: n for w, n in counts.items() if hub_licence_id(w) is None}
    if not closed:
        return
    listed = ", ".join(f"{n} under {w or 'no stated licence'!r}" for w, n in closed.items())
    raise LicenceError(
        f"{sum(closed.values())} of {sum(counts.values())} clips and stills have no open licence "
        f"({listed}): publish references with media='none' (--media none); or, if you hold the "
        "rights to these pictures, say so: i_have_the_rights=True (--i-have-the-rights)"
    )
