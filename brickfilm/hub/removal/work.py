"""Take clips out of a work folder: of its saved dataset, its files, and the ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from brickfilm.dataset.reader import DatasetNotFoundError, SavedDataset, find_dataset
from brickfilm.dataset.required_columns import require_columns
from brickfilm.dataset.rewrite import delete_rows_in_folder
from brickfilm.engine.ledger import Ledger, ledger_frame
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.engine.tombstones import Tombstone, Tombstones, write_tombstone
from brickfilm.files import disk_errors
from brickfilm.hub.removal import (
    MatchedRows,
    RemovalReport,
    RemovalRequest,
    find_rows,
    pluralize,
    record_removed_rows,
)
from brickfilm.sources.youtube.media_files import SOURCES_FOLDER, all_source_metadata, slug_of


def remove_from_work(folder: Path, removal: RemovalReport) -> Path:
    """The mark first; then rows, files and what the ledger remembers. Killed, run it again.

    Gives the work folder, which may be above the folder that was named.
    """
    dataset = _find_saved_dataset(folder)
    work = (dataset and dataset.work) or folder
    with Ledger(work) if (work / FILENAME).is_file() else nullcontext() as ledger:
        _remove(work, dataset, ledger, removal)
    return work


def _remove(
    work: Path, dataset: SavedDataset | None, ledger: Ledger | None, removal: RemovalReport
) -> None:
    """All of it, while the ledger's lock keeps builds out of the folder."""
    found = find_rows(dataset.to_pandas_by_config() if dataset else {}, removal.request)
    tombstone = _ensure_tombstone(
        work, _build_tombstone(work, removal, found), is_known=bool(found)
    )
    if tombstone is None:
        return
    removal.tombstone = tombstone
    record_removed_rows(removal, found)
    if dataset:
        with disk_errors(work):
            delete_rows_in_folder(dataset, found.files, found.ids)
    files = _delete_files(work, tombstone)
    records = _delete_ledger_rows(ledger, tombstone, found) if ledger else 0
    (work / "report.html").unlink(missing_ok=True)
    removal.has_tombstone = True
    if found or files or records:
        made = f"{pluralize(files, 'file')} and {pluralize(records, 'record')} made from them"
        removal.actions.append(f"our working copy: {found.summary}; {made}")


def _find_saved_dataset(folder: Path) -> SavedDataset | None:
    """The saved dataset, or None where a build has not come so far."""
    try:
        dataset = find_dataset(folder)
    except DatasetNotFoundError:
        if not (folder / FILENAME).is_file():
            raise
        return None
    require_columns(dataset)
    return dataset


def _ensure_tombstone(work: Path, tombstone: Tombstone, *, is_known: bool) -> Tombstone | None:
    """The mark, on disk; None if nothing that this folder ever knew is meant.

    A request that was interrupted left a mark: it has names that nothing else tells by now.
    """
    earlier = Tombstones.load(work).for_request(tombstone.kind, tombstone.name)
    if not (is_known or earlier or tombstone.films or _covers_last_run(work, tombstone)):
        return None
    whole = reduce(Tombstone.merged_with, earlier, tombstone)
    if not any(replace(whole, at=old.at) == old for old in earlier):
        write_tombstone(work, whole)
    return whole


def _build_tombstone(work: Path, removal: RemovalReport, found: MatchedRows) -> Tombstone:
    """A clip's place is marked; a source or an uploader by every name and film they have here."""
    request = removal.request
    clips = tuple(sorted(found.clips.id))
    if request.kind == "clip":
        return replace(request.tombstone, at=removal.date, clips=clips)
    fetched = [facts for facts in all_source_metadata(work) if _matches_request(facts, request)]
    asked = {request.name} if request.kind == "source" else set()
    sources = {*found.source_ids, *(str(facts["source_id"]) for facts in fetched)} | asked
    films = {*found.video_ids, *(str(facts["sha256"])[:16] for facts in fetched)}
    return replace(
        request.tombstone,
        at=removal.date,
        clips=clips,
        sources=tuple(sorted(sources)),
        films=tuple(sorted(films | _videos_of_sources(work, sources))),
    )


def _matches_request(facts: Mapping[str, Any], request: RemovalRequest) -> bool:
    """Whether a film that was fetched is one of those asked for, whatever came of it."""
    names = ("uploader",) if request.kind == "uploader" else ("source_id", "url")
    return request.name in (facts[name] for name in names)


def _videos_of_sources(work: Path, sources: set[str]) -> set[str]:
    """Films of these sources that a build has opened, also those of which nothing came through."""
    if not (work / FILENAME).is_file():
        return set()
    outcomes = ledger_frame(work)
    known = outcomes.source_id.isin(sources) & (outcomes.kind != "listing")
    return set(outcomes[known].item.str.split("-").str[0])


def _covers_last_run(work: Path, tombstone: Tombstone) -> bool:
    """Whether the last pass met something that a mark covers."""
    return (work / FILENAME).is_file() and any(map(tombstone.covers, ledger_frame(work).item))


def _delete_files(work: Path, tombstone: Tombstone) -> int:
    """Files that a build named after what is removed, downloads included; never own footage."""
    slugs = "|".join(re.escape(slug_of(source)) for source in tombstone.sources)
    fetched = re.compile(rf"\.?({slugs or '$^'})-[0-9a-f]{{8}}[.-]")
    doomed = [p for p in work.rglob("*") if p.is_file() and tombstone.covers_id(p.name.lstrip("."))]
    doomed += [p for p in (work / SOURCES_FOLDER).glob("*") if fetched.match(p.name)]
    for path in doomed:
        path.unlink()
    return len(doomed)


def _delete_ledger_rows(ledger: Ledger, tombstone: Tombstone, found: MatchedRows) -> int:
    """Rows of the ledger about what is removed: by item, by key, by captions they hold."""
    return ledger.delete(tombstone.covers, found.ids, found.captions)
