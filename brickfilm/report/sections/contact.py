"""The contact sheet: every clip and every image with its stills, words and numbers.

The page draws a handful of cards at a time from data, so that it opens as fast with 24,000 clips
as with ten. Thumbs are inside the page for MOST_THUMBED of each, spread over all of them; the
others show their stills from the work folder, beside which the page lies.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from brickfilm.dataset.finalize import Row
from brickfilm.engine.ledger import ItemResult
from brickfilm.records import Clip
from brickfilm.report.context import Material
from brickfilm.report.sections.base import Section
from brickfilm.report.thumbs import evenly, thumb

MOST_THUMBED = 600
"""Clips, and images, whose thumbs are inside the page: about 8 MB and 3 MB."""

Card = dict[str, Any]


def contact_sheet(material: Material) -> Section | None:
    """Cards of clips, those left out with the reason, and of images."""
    clips, images = list(clip_cards(material)), list(image_cards(material))
    if not clips and not images:
        return None
    facts = {
        "cards": {"clips": clips, "images": images},
        "thumbed": MOST_THUMBED,
        "capped": max(len(clips), len(images)) > MOST_THUMBED,
    }
    return Section("contact", "Contact sheet", facts)


def clip_cards(material: Material) -> Iterator[Card]:
    """Rows of the dataset first, then the clips that were left out."""
    rows, fates, records = material.clips, material.clip_fates, material.clip_records
    left_out = sorted(name for name in fates if name in records)
    thumbed = evenly([*(row["id"] for row in rows), *left_out], MOST_THUMBED)
    groups = Counter(row["near_duplicate_group"] for row in rows)
    telling = {name for row in rows for name, v in scores_of(row).items() if v}  # not all zero
    for row in rows:
        yield {
            **row_facts(row, material),
            **stills_of(records.get(row["id"]), material.work, row["id"] in thumbed),
            **span_facts(row),
            "file": quote(row["video"]),
            "alike": groups[row["near_duplicate_group"]],
            "group": row["near_duplicate_group"],
            "scores": {name: v for name, v in scores_of(row).items() if name in telling},
        }
    for name in left_out:
        yield left_out_card(records[name], fates[name], material.work, name in thumbed)


def image_cards(material: Material) -> Iterator[Card]:
    """Rows of the config `images`."""
    thumbed = evenly([row["id"] for row in material.images], MOST_THUMBED)
    for row in material.images:
        path = Path(row["image"])
        yield {
            **row_facts(row, material),
            "stills": [shown(path, material.work, row["id"] in thumbed)],
            "file": quote(row["image"]),
            "size": f"{row['width']} x {row['height']}",
            "scores": {},
        }


def row_facts(row: Row, material: Material) -> Card:
    """What clips and images have in common."""
    return {
        "id": row["id"],
        "fate": "kept",
        "split": material.split_of(row["id"]),
        "caption": row["caption"],
        "status": row["caption_status"],
        "model": row["caption_model"],
        "title": row["source_title"] or row["source_id"],
        "source": row["source_id"],
        "url": safe_url(row["source_url"]),
    }


def span_facts(row: Row) -> Card:
    """When, how long, how large."""
    return {
        "seconds": row["duration"],
        "start": row["start"],
        "end": row["end"],
        "length": f"{row['num_frames']} frames, {row['fps']:.5g} fps",
        "size": f"{row['width']} x {row['height']}",
    }


def left_out_card(clip: Clip, end: ItemResult, work: Path, thumbed: bool) -> Card:
    """A clip that is in no split, with the reason."""
    return {
        "id": clip.id,
        "fate": end.status,
        "split": "",
        "caption": clip.caption.text if clip.caption else "",
        "status": end.reason,
        "model": clip.caption.model if clip.caption else "",
        "why": f"{end.stage}: {end.message or end.reason}",
        "title": clip.video.title or clip.video.source_id,
        "source": clip.video.source_id,
        "url": safe_url(clip.video.url),
        "seconds": clip.end - clip.start,
        "start": clip.start,
        "end": clip.end,
        "length": f"{clip.span.frames} frames, {float(clip.fps):.5g} fps",
        "size": f"{clip.width or clip.video.width} x {clip.height or clip.video.height}",
        "scores": numbers(clip.scores),
        **stills_of(clip, work, thumbed),
    }


def stills_of(clip: Clip | None, work: Path, thumbed: bool) -> Card:
    """The addresses of a clip's stills; none where no stage took any."""
    stills: Sequence[Any] = clip.stills if clip else ()
    return {"stills": [shown(still.path, work, thumbed) for still in stills]}


def shown(path: Path, work: Path, thumbed: bool) -> str:
    """A thumb inside the page, or the address of the still beside it."""
    return thumb(work / path) if thumbed else quote(path.as_posix())


def scores_of(row: Row) -> Mapping[str, float]:
    """The row's scores under their short names."""
    found = {n: v for n, v in row.items() if n.startswith("score_") and v is not None}
    return numbers({name.removeprefix("score_"): value for name, value in found.items()})


def numbers(scores: Mapping[str, float]) -> Mapping[str, float]:
    """Scores that JSON can hold, to four digits."""
    return {n: float(f"{v:.4g}") for n, v in sorted(scores.items()) if math.isfinite(v)}


def safe_url(url: str) -> str:
    """An address that a click may follow."""
    return url if url.startswith(("https://", "http://")) else ""
