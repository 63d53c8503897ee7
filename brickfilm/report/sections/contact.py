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

from brickfilm.dataset.finalize import DatasetRow
from brickfilm.engine.ledger import ItemResult
from brickfilm.records import Clip
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section
from brickfilm.report.thumbs import evenly_spaced, thumbnail_data_url

MAX_THUMBNAILS = 600
"""Clips, and images, whose thumbs are inside the page: about 8 MB and 3 MB."""

ContactCard = dict[str, Any]


def contact_sheet(material: ReportContext) -> Section | None:
    """Cards of clips, those left out with the reason, and of images."""
    clips, images = list(clip_cards(material)), list(image_cards(material))
    if not clips and not images:
        return None
    data = {
        "cards": {"clips": clips, "images": images},
        "thumbed": MAX_THUMBNAILS,
        "capped": max(len(clips), len(images)) > MAX_THUMBNAILS,
    }
    return Section("contact", "Contact sheet", data)


def clip_cards(material: ReportContext) -> Iterator[ContactCard]:
    """Rows of the dataset first, then the clips that were left out."""
    rows, fates, records = material.clips, material.left_out_results, material.clip_records
    left_out = sorted(name for name in fates if name in records)
    embed = evenly_spaced([*(row["id"] for row in rows), *left_out], MAX_THUMBNAILS)
    groups = Counter(row["near_duplicate_group"] for row in rows)
    telling = {name for row in rows for name, v in row_scores(row).items() if v}  # not all zero
    for row in rows:
        yield {
            **row_fields(row, material),
            **still_fields(records.get(row["id"]), material.work, row["id"] in embed),
            **span_fields(row),
            "file": quote(row["video"]),
            "alike": groups[row["near_duplicate_group"]],
            "group": row["near_duplicate_group"],
            "scores": {name: v for name, v in row_scores(row).items() if name in telling},
        }
    for name in left_out:
        yield left_out_card(records[name], fates[name], material.work, name in embed)


def image_cards(material: ReportContext) -> Iterator[ContactCard]:
    """Rows of the config `images`."""
    embed = evenly_spaced([row["id"] for row in material.images], MAX_THUMBNAILS)
    for row in material.images:
        path = Path(row["image"])
        yield {
            **row_fields(row, material),
            "stills": [still_src(path, material.work, row["id"] in embed)],
            "file": quote(row["image"]),
            "size": f"{row['width']} x {row['height']}",
            "scores": {},
        }


def row_fields(row: DatasetRow, material: ReportContext) -> ContactCard:
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


def span_fields(row: DatasetRow) -> ContactCard:
    """When, how long, how large."""
    return {
        "seconds": row["duration"],
        "start": row["start"],
        "end": row["end"],
        "length": f"{row['num_frames']} frames, {row['fps']:.5g} fps",
        "size": f"{row['width']} x {row['height']}",
    }


def left_out_card(clip: Clip, end: ItemResult, work: Path, embed: bool) -> ContactCard:
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
        "scores": json_scores(clip.scores),
        **still_fields(clip, work, embed),
    }


def still_fields(clip: Clip | None, work: Path, embed: bool) -> ContactCard:
    """The addresses of a clip's stills; none where no stage took any."""
    stills: Sequence[Any] = clip.stills if clip else ()
    return {"stills": [still_src(still.path, work, embed) for still in stills]}


def still_src(path: Path, work: Path, embed: bool) -> str:
    """A thumb inside the page, or the address of the still beside it."""
    return thumbnail_data_url(work / path) if embed else quote(path.as_posix())


def row_scores(row: DatasetRow) -> Mapping[str, float]:
    """The row's scores under their short names."""
    found = {n: v for n, v in row.items() if n.startswith("score_") and v is not None}
    return json_scores({name.removeprefix("score_"): value for name, value in found.items()})


def json_scores(scores: Mapping[str, float]) -> Mapping[str, float]:
    """Scores that JSON can hold, to four digits."""
    return {n: float(f"{v:.4g}") for n, v in sorted(scores.items()) if math.isfinite(v)}


def safe_url(url: str) -> str:
    """An address that a click may follow."""
    return url if url.startswith(("https://", "http://")) else ""
