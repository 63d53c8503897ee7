"""The contact sheet: every clip and every image with its stills, caption and scores.

The page draws a few cards at a time from JSON, so that it opens as fast with 24,000 clips as with
ten; of more than MAX_CARDS it has so many. MAX_THUMBNAILS clips and images have their stills
embedded; the page loads those of the others from the work folder.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from brickfilm.dataset.duplicates import GROUP
from brickfilm.dataset.rows import DatasetRow, clip_row
from brickfilm.engine.ledger import ItemResult
from brickfilm.records import Clip
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section
from brickfilm.report.thumbs import evenly_spaced, thumbnail_data_url
from brickfilm.report.titles import SCORE_MEANINGS, stage_title

MAX_THUMBNAILS = 600
"""Clips, and images, with embedded stills: about 8 MB and 3 MB."""
MAX_CARDS = 20_000
"""Clips, and images, on the page: about 20 MB of it, and 500 MB of memory to draw it up."""

ContactCard = dict[str, Any]


def contact_sheet(context: ReportContext) -> Section | None:
    """Return the cards of clips (rejected ones with the reason) and of images."""
    clips, images = list(clip_cards(context)), list(image_cards(context))
    if not clips and not images:
        return None
    totals = len(context.clips) + len(context.left_out_results), len(context.images)
    data = {
        "cards": {"clips": clips, "images": images},
        "max_thumbnails": MAX_THUMBNAILS,
        "meanings": SCORE_MEANINGS,
        "capped": max(len(clips), len(images)) > MAX_THUMBNAILS,
        "max_cards": MAX_CARDS if max(totals) > MAX_CARDS else None,
        "total": max(totals),
    }
    return Section("contact", "Contact sheet", data)


def clip_cards(context: ReportContext) -> Iterator[ContactCard]:
    """Yield cards of the dataset's clips, then of the clips that are not in it."""
    results = context.left_out_results
    places = evenly_spaced(range(len(context.clips) + len(results)), MAX_CARDS)
    kept = sorted(place for place in places if place < len(context.clips))
    groups_by_id = {r["id"]: r[GROUP] for r in context.clips.at(kept, "id", GROUP)}
    names = {name for n, name in enumerate(sorted(results), len(context.clips)) if n in places}
    stills = {id: paths for id, paths in context.stills if id in groups_by_id}
    records = context.clip_records(names) if names else {}
    left_out = [name for name in sorted(names & records.keys()) if records[name].span.frames]
    embed = evenly_spaced([*groups_by_id, *left_out], MAX_THUMBNAILS)
    groups, nonzero = groups_and_scores(context, set(groups_by_id.values()))
    for row in context.clips.at(kept):
        yield {
            **row_fields(row, context),
            **still_fields(stills.get(row["id"], ()), context.work, row["id"] in embed),
            **span_fields(row),
            "file": quote(row["video"]),
            "similar": groups[row[GROUP]],
            "group": row[GROUP],
            "scores": {name: v for name, v in row_scores(row).items() if name in nonzero},
        }
    for name in left_out:
        yield left_out_card(records[name], results[name], context, name in embed)


def groups_and_scores(
    context: ReportContext, groups: Container[str]
) -> tuple[Counter[str], set[str]]:
    """Return the sizes of some groups of near-duplicates, and the scores that any clip has."""
    of_rows = context.clips.column(GROUP)
    sizes = Counter(group for group in of_rows if group in groups)
    names = (name for name in context.clips.names if name.startswith("score_"))
    nonzero = {name.removeprefix("score_") for name in names if context.clips.numbers(name).any()}
    return sizes, nonzero


def image_cards(context: ReportContext) -> Iterator[ContactCard]:
    """Yield cards of the config `images`."""
    places = evenly_spaced(range(len(context.images)), MAX_CARDS)
    embed = evenly_spaced(sorted(places), MAX_THUMBNAILS)
    for n, row in zip(sorted(places), context.images.at(sorted(places)), strict=True):
        yield {
            **row_fields(row, context),
            "stills": [still_src(row["image"], context.work, n in embed)],
            "file": quote(row["image"]),
            "size": f"{row['width']} x {row['height']}",
            "scores": {},
        }


def row_fields(row: DatasetRow, context: ReportContext) -> ContactCard:
    """Return the fields that clips and images share."""
    return {
        "id": row["id"],
        "outcome": "kept",
        "split": context.split_of(row["id"]),
        "caption": row["caption"],
        "status": row["caption_status"],
        "model": row["caption_model"],
        "title": row["source_title"] or row["source_id"],
        "source": row["source_id"],
        "url": safe_url(row["source_url"]),
    }


def span_fields(row: DatasetRow) -> ContactCard:
    """Return time, length and size of a clip."""
    return {
        "seconds": row["duration"],
        "start": row["start"],
        "end": row["end"],
        "length": f"{row['num_frames']} frames, {row['fps']:.5g} fps",
        "size": f"{row['width']} x {row['height']}",
    }


def left_out_card(
    clip: Clip, result: ItemResult, context: ReportContext, embed: bool
) -> ContactCard:
    """Return the card of a clip that is not in the dataset, with the reason."""
    width, height = clip.width or clip.video.width, clip.height or clip.video.height
    row = clip_row(replace(clip, width=width, height=height))
    return {
        **row_fields(row, context),
        **still_fields([still.path.as_posix() for still in clip.stills], context.work, embed),
        **span_fields(row),
        "outcome": result.status,
        "split": "",
        "status": result.reason,
        "why": f"{stage_title(result.stage)}: {result.message or result.reason}",
        "scores": row_scores(row),
    }


def still_fields(stills: Sequence[str], work: Path, embed: bool) -> ContactCard:
    """Return the addresses of a clip's stills."""
    return {"stills": [still_src(path, work, embed) for path in stills]}


def still_src(path: str, work: Path, embed: bool) -> str:
    """Return an embedded thumbnail, or the relative address of the still."""
    return thumbnail_data_url(work / path) if embed else quote(path)


def row_scores(row: DatasetRow) -> dict[str, float]:
    """Return the finite scores of a row to four digits, sorted, without the prefix `score_`."""
    return {
        name.removeprefix("score_"): float(f"{value:.4g}")
        for name, value in sorted(row.items())
        if name.startswith("score_") and value is not None and math.isfinite(value)
    }


def safe_url(url: str) -> str:
    """Return the URL if it is a web address, else an empty string."""
    return url if url.startswith(("https://", "http://")) else ""
