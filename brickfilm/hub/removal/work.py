"""Take clips out of a work folder: of its saved dataset, its files, and the ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from brickfilm.dataset.reader import NoDataset, SavedDataset, find_dataset
from brickfilm.dataset.required_columns import must_have_columns
from brickfilm.dataset.rewrite import rewrite_saved
from brickfilm.engine.ledger import Ledger, ledger_frame
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.engine.tombstones import Tombstone, Tombstones, write_tombstone
from brickfilm.files import disk_errors
from brickfilm.hub.removal import Found, Removal, Request, find_rows, many, note_removed
from brickfilm.sources.youtube.media_files import FOLDER, all_facts, slug_of


def remove_from_work(folder: Path, removal: Removal) -> Path:
    """The mark first; then rows, files and what the ledger remembers. Killed, run it again.

    Gives the work folder, which may be above the folder that was named.
    """
    saved = _saved_in(folder)
    work = (saved and saved.work) or folder
    with Ledger(work) if (work / FILENAME).is_file() else nullcontext() as ledger:
        _remove(work, saved, ledger, removal)
    return work


def _remove(
    work: Path, saved: SavedDataset | None, ledger: Ledger | None, removal: Removal
) -> None:
    """All of it, while the ledger's lock keeps builds out of the folder."""
    found = find_rows(saved.frames() if saved else {}, removal.request)
    stone = _marked(work, _tombstone(work, removal, found), is_known=bool(found))
    if stone is None:
        return
    removal.mark = stone
    note_removed(removal, found)
    if saved:
        with disk_errors(work):
            rewrite_saved(saved, found.files, found.ids)
    files = _delete_files(work, stone)
    records = _forget(ledger, stone, found) if ledger else 0
    (work / "report.html").unlink(missing_ok=True)
    removal.is_marked = True
    if found or files or records:
        made = f"{many(files, 'file')} and {many(records, 'record')} made from them"
        removal.places.append(f"our working copy: {found.words}; {made}")


def _saved_in(folder: Path) -> SavedDataset | None:
    """The saved dataset, or None where a build has not come so far."""
    try:
        saved = find_dataset(folder)
    except NoDataset:
        if not (folder / FILENAME).is_file():
            raise
        return None
    must_have_columns(saved)
    return saved


def _marked(work: Path, stone: Tombstone, *, is_known: bool) -> Tombstone | None:
    """The mark, on disk; None if nothing that this folder ever knew is meant.

    A request that was interrupted left a mark: it has names that nothing else tells by now.
    """
    earlier = Tombstones.load(work).for_request(stone.kind, stone.name)
    if not (is_known or earlier or stone.films or _knows(work, stone)):
        return None
    whole = reduce(Tombstone.merged_with, earlier, stone)
    if not any(replace(whole, at=old.at) == old for old in earlier):
        write_tombstone(work, whole)
    return whole


def _tombstone(work: Path, removal: Removal, found: Found) -> Tombstone:
    """A clip's place is marked; a source or an uploader by every name and film they have here."""
    request = removal.request
    clips = tuple(sorted(found.clips.id))
    if request.kind == "clip":
        return replace(request.stone, at=removal.at, clips=clips)
    fetched = [facts for facts in all_facts(work) if _is_meant(facts, request)]
    asked = {request.name} if request.kind == "source" else set()
    sources = {*found.sources, *(str(facts["source_id"]) for facts in fetched)} | asked
    films = {*found.films, *(str(facts["sha256"])[:16] for facts in fetched)}
    return replace(
        request.stone,
        at=removal.at,
        clips=clips,
        sources=tuple(sorted(sources)),
        films=tuple(sorted(films | _films_of(work, sources))),
    )


def _is_meant(facts: Mapping[str, Any], request: Request) -> bool:
    """Whether a film that was fetched is one of those asked for, whatever came of it."""
    names = ("uploader",) if request.kind == "uploader" else ("source_id", "url")
    return request.name in (facts[name] for name in names)


def _films_of(work: Path, sources: set[str]) -> set[str]:
    """Films of these sources that a build has opened, also those of which nothing came through."""
    if not (work / FILENAME).is_file():
        return set()
    outcomes = ledger_frame(work)
    known = outcomes.source_id.isin(sources) & (outcomes.kind != "listing")
    return set(outcomes[known].item.str.split("-").str[0])


def _knows(work: Path, stone: Tombstone) -> bool:
    """Whether the last pass met something that a mark covers."""
    return (work / FILENAME).is_file() and any(map(stone.covers, ledger_frame(work).item))


def _delete_files(work: Path, stone: Tombstone) -> int:
    """Files that a build named after what is removed, downloads included; never own footage."""
    slugs = "|".join(re.escape(slug_of(source)) for source in stone.sources)
    fetched = re.compile(rf"\.?({slugs or '$^'})-[0-9a-f]{{8}}[.-]")
    doomed = [p for p in work.rglob("*") if p.is_file() and stone.covers_id(p.name.lstrip("."))]
    doomed += [p for p in (work / FOLDER).glob("*") if fetched.match(p.name)]
    for path in doomed:
        path.unlink()
    return len(doomed)


def _forget(ledger: Ledger, stone: Tombstone, found: Found) -> int:
    """Rows of the ledger about what is removed: by item, by key, by captions they hold."""
    return ledger.delete(stone.covers, found.ids, found.captions)
