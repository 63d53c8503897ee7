"""Remove clips from a work folder: from its saved dataset, its files, and the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from brickfilm.dataset.data_files import DatasetNotFoundError
from brickfilm.dataset.reader import SavedDataset, find_dataset
from brickfilm.dataset.required_columns import require_columns
from brickfilm.dataset.rewrite import delete_rows_in_folder
from brickfilm.engine.ledger import Ledger, ledger_frame
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.engine.ledger.stale_files import delete_temp_files_of_dead_processes
from brickfilm.engine.tombstones import Tombstone, Tombstones, write_tombstone
from brickfilm.files import disk_errors
from brickfilm.hub.removal.removal_report import RemovalReport
from brickfilm.hub.removal.request import MatchedRows, RemovalRequest, find_rows
from brickfilm.schema.plural import pluralize
from brickfilm.sources.base import all_source_metadata, delete_downloads


def remove_from_work(folder: Path, report: RemovalReport) -> Path:
    """Write the tombstone, then delete rows, files and ledger entries. After a kill, run it again.

    Return the work folder, which may be the parent of the given folder.
    """
    dataset = _find_saved_dataset(folder)
    work = (dataset and dataset.work) or folder
    has_ledger = (work / FILENAME).is_file()
    if not has_ledger:
        delete_temp_files_of_dead_processes(work)  # as opening a ledger does
    with Ledger(work) if has_ledger else nullcontext() as ledger:
        _remove(work, dataset, ledger, report)
    return work


def _remove(
    work: Path, dataset: SavedDataset | None, ledger: Ledger | None, report: RemovalReport
) -> None:
    """Remove everything, while the ledger's lock keeps builds out of the folder."""
    rows = find_rows(dataset.to_pandas_by_config() if dataset else {}, report.request)
    tombstone = _ensure_tombstone(work, _build_tombstone(work, report, rows), is_known=bool(rows))
    if tombstone is None:
        return
    report.tombstone = tombstone
    report.add_rows(rows)
    if dataset:
        with disk_errors(work):
            delete_rows_in_folder(dataset, rows.files, rows.ids)
    files = delete_files(work, tombstone)
    records = ledger.delete(tombstone.covers, rows.ids, rows.captions) if ledger else 0
    (work / "report.html").unlink(missing_ok=True)
    report.has_tombstone = True
    if rows or files or records:
        counts = f"{pluralize(files, 'file')} and {pluralize(records, 'record')} made from them"
        report.actions.append(f"our working copy: {rows.summary}; {counts}")


def _find_saved_dataset(folder: Path) -> SavedDataset | None:
    """Return the saved dataset, or None for a build that has not saved one yet."""
    try:
        dataset = find_dataset(folder)
    except DatasetNotFoundError:
        if not (folder / FILENAME).is_file():
            raise
        return None
    require_columns(dataset)
    return dataset


def _ensure_tombstone(work: Path, tombstone: Tombstone, *, is_known: bool) -> Tombstone | None:
    """Write the tombstone to disk; return None if this folder never had anything it covers.

    An interrupted request left a tombstone with names that nothing else in the folder has by now.
    """
    earlier = Tombstones.load(work).for_request(tombstone.kind, tombstone.name)
    if not (is_known or earlier or tombstone.films or _covers_last_run(work, tombstone)):
        return None
    merged = reduce(Tombstone.merged_with, earlier, tombstone)
    if not any(replace(merged, at=old.at) == old for old in earlier):
        write_tombstone(work, merged)
    return merged


def _build_tombstone(work: Path, report: RemovalReport, rows: MatchedRows) -> Tombstone:
    """Return a tombstone: of a clip with its span, else with all sources and videos found here."""
    request = report.request
    clips = tuple(sorted(rows.clips.id))
    if request.kind == "clip":
        return replace(request.tombstone, at=report.date, clips=clips)
    fetched = [facts for facts in all_source_metadata(work) if _matches_request(facts, request)]
    named = {request.name} if request.kind == "source" else set()
    sources = {*rows.source_ids, *(str(facts["source_id"]) for facts in fetched)} | named
    video_ids = {*rows.video_ids, *(str(facts["sha256"])[:16] for facts in fetched)}
    return replace(
        request.tombstone,
        at=report.date,
        clips=clips,
        sources=tuple(sorted(sources)),
        films=tuple(sorted(video_ids | _videos_of_sources(work, sources))),
    )


def _matches_request(facts: Mapping[str, Any], request: RemovalRequest) -> bool:
    """Return whether a request matches a downloaded video, with or without rows."""
    names = ("uploader",) if request.kind == "uploader" else ("source_id", "url")
    return request.name in (facts[name] for name in names)


def _videos_of_sources(work: Path, sources: set[str]) -> set[str]:
    """Return the ids of videos that builds have opened for these sources, with or without rows."""
    if not (work / FILENAME).is_file():
        return set()
    results = ledger_frame(work)
    known = results.source_id.isin(sources) & (results.kind != "listing")
    return set(results[known].item.str.split("-").str[0])


def _covers_last_run(work: Path, tombstone: Tombstone) -> bool:
    """Return whether a tombstone covers an item of the last run."""
    return (work / FILENAME).is_file() and any(map(tombstone.covers, ledger_frame(work).item))


def delete_files(work: Path, tombstone: Tombstone) -> int:
    """Delete files made from removed clips, and downloads; never the user's own footage."""
    paths = [p for p in work.rglob("*") if p.is_file() and tombstone.covers_id(p.name.lstrip("."))]
    for path in paths:
        path.unlink()
    return len(paths) + delete_downloads(work, tombstone.sources)
