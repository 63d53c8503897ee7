"""Estimate the rates of wrong captions and wrong cuts from a random sample that people reviewed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from brickfilm.digest import seal
from brickfilm.engine.ledger import RANDOM_QUEUE, Review, ledger_frame, read_reviews, read_trims
from brickfilm.records import EDITED_BY_HAND

CONFIDENCE = 0.95
RATED_COLUMNS = ("id", "caption", "caption_model", "prompt_digest")
"""Columns of `clips` that say which captions are still those that were judged."""


@dataclass(frozen=True)
class ErrorRate:
    """Wrong items among reviewed ones."""

    wrong: int
    reviewed: int

    @property
    def share(self) -> float:
        return self.wrong / self.reviewed

    def __str__(self) -> str:
        low, high = wilson_interval(self.wrong, self.reviewed)
        percent = f"{100 * self.share:.3g} %"
        return f"{percent} ({100 * low:.1f}-{100 * high:.1f} %, {self.reviewed:,} reviewed)"


def wilson_interval(
    wrong: int, reviewed: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the score interval of a proportion (Wilson, 1927), from 0 to 1.

    Unlike the normal approximation it holds for few items and for rates near 0.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = wrong / reviewed, z * z / reviewed
    middle = share + spread / 2
    half = z * math.sqrt((share * (1 - share) + spread / 4) / reviewed)
    low, high = ((middle + sign * half) / (1 + spread) for sign in (-1, 1))
    return (0.0 if wrong == 0 else low), (1.0 if wrong == reviewed else high)


def review_rates(
    work: Path, clips: Iterable[Mapping[Any, Any]], items: Collection[str] | None = None
) -> dict[str, ErrorRate]:
    """Return the rates of 'captions' and 'cuts' of the last build; without a review, none of it.

    clips: rows of the dataset with RATED_COLUMNS. items: ids of everything in the last build, if
    the caller has read them. Only verdicts of the random sample count, of each clip the last one. A
    verdict about a caption counts as long as model and prompt are in use, and the captioner has not
    written another text since; one about a cut, as long as the clip is cut so.
    """
    sample = [review for review in read_reviews(work) if review.queue == RANDOM_QUEUE]
    if not sample:
        return {}
    cuts = {review.item: review for review in sample}
    rows: dict[str, Mapping[Any, Any]] = {}
    in_use: set[tuple[str, str]] = set()
    for row in clips:
        if row["caption_model"] != EDITED_BY_HAND:
            in_use.add((row["caption_model"], row["prompt_digest"]))
        if row["id"] in cuts:
            rows[row["id"]] = row
    in_use = in_use or {(sample[-1].caption_model, sample[-1].prompt_digest)}  # all were corrected
    captions = {r.item: r for r in sample if _judges_captioner(r, rows.get(r.item), in_use)}
    here = {*(ledger_frame(work)["item"] if items is None else items), *read_trims(work)}
    counts = {
        "captions": [r.caption_wrong for item, r in captions.items() if item in here],
        "cuts": [r.cut_wrong for item, r in cuts.items() if item in here],
    }
    return {name: ErrorRate(sum(of), len(of)) for name, of in counts.items() if of}


def _judges_captioner(
    review: Review, row: Mapping[Any, Any] | None, in_use: Collection[tuple[str, str]]
) -> bool:
    """Return True for a verdict about a caption that the captioner in use wrote."""
    if review.caption_model in ("", EDITED_BY_HAND):
        return False
    captioner = review.caption_model, review.prompt_digest
    if row is None or row["caption_model"] == EDITED_BY_HAND:
        return captioner in in_use
    same = captioner == (row["caption_model"], row["prompt_digest"])
    return same and review.caption_digest == caption_digest(row["caption"])


def caption_digest(text: str | None) -> str:
    """Return the digest by which a verdict names the text that was judged."""
    return seal(text or "")
