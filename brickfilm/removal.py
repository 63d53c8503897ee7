"""Take clips out for good: of the work folder, of its saved dataset, and of what was published.

The mark that keeps them out (tombstones.py) is written first, so that a removal which is
interrupted can only be incomplete, never forgotten: run it again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from brickfilm.errors import UsageError
from brickfilm.publish import pushed_to
from brickfilm.shelf import NoDataset, find_dataset
from brickfilm.sources.youtube.films import slug_of
from brickfilm.tombstones import Tombstone, write_tombstone

if TYPE_CHECKING:
    import pandas as pd


class NothingToRemove(UsageError):
    """No row fits the request."""


@dataclass(frozen=True)
class Request:
    """What somebody asked to be taken out."""

    kind: Literal["source", "clip", "uploader"]
    name: str

    def picks(self, rows: pd.DataFrame) -> pd.Series[bool]:
        """Which rows of a config this is about."""
        match self.kind:
            case "clip":
                return rows[_clip_column(rows)] == self.name
            case "uploader":
                return rows.uploader == self.name
            case "source":
                return (rows.source_id == self.name) | (rows.source_url == self.name)


@dataclass(frozen=True)
class Found:
    """The rows of a dataset that a request is about."""

    clips: pd.DataFrame
    images: pd.DataFrame
    captions: frozenset[str] = frozenset()
    """Captions that no other row has: an answer with these words is about these rows."""
    more_films: frozenset[str] = frozenset()
    """Films that are meant too, though no row is from them."""

    @property
    def files(self) -> dict[str, str]:
        """The parquet files that hold these rows, each with its config."""
        of_clips = dict.fromkeys(self.clips.file, "clips")
        return of_clips | dict.fromkeys(self.images.file, "images")

    @property
    def ids(self) -> frozenset[str]:
        return frozenset([*self.clips.id, *self.images.id])

    @property
    def film_ids(self) -> tuple[str, ...]:
        return tuple(sorted({row.split("-", 1)[0] for row in self.ids} | self.more_films))

    def sources_of(self, request: Request) -> tuple[str, ...]:
        """The names that the sources of these rows have, and the one that was asked for."""
        asked = {request.name} if request.kind == "source" else set()
        return tuple(sorted({*self.clips.source_id, *self.images.source_id} | asked))

    def __bool__(self) -> bool:
        return bool(self.ids or self.more_films)


@dataclass
class Removal:
    """What was removed, and from where: `letter()` is for the person who asked."""

    request: Request
    at: str
    clips: Mapping[str, str] = field(default_factory=dict)
    """Id to a line that says which film and seconds it was."""
    images: Sequence[str] = ()
    places: list[str] = field(default_factory=list)
    """What was done where, in order."""

    def letter(self) -> str:
        """What was removed, in words."""
        lines = [
            f"Removed on {self.at} on request, {self.request.kind} {self.request.name!r}: "
            f"clips: {len(self.clips)}, stills: {len(self.images)}, with their captions.",
            *(f"- {clip}: {words}" for clip, words in sorted(self.clips.items())),
            "Where:",
            *(f"- {place}" for place in self.places),
            "A mark keeps any rebuild in this work folder from bringing them back.",
        ]
        return "\n".join(lines)


def remove(
    where: str | Path, request: Request, *, forget_history: bool = False, published: bool = True
) -> Removal:
    """Remove from a work folder and all repositories it was pushed to, or from one repository.

    forget_history: also destroy the old versions of the changed files on the Hub, for ever.
    published: False leaves repositories alone.
    """
    from brickfilm.removal_hub import remove_from_hub

    removal = Removal(request, datetime.now(UTC).date().isoformat())
    folder = Path(where)
    if folder.is_dir():
        _remove_from_folder(folder, removal)
        repos = pushed_to(folder) if published else []
    else:
        repos = [str(where)]
    for repo_id in repos:
        remove_from_hub(repo_id, removal, forget_history=forget_history)
    if not removal.clips and not removal.images and not removal.places:
        raise NothingToRemove(
            f"no row of {str(where)!r} has the {request.kind} {request.name!r}: columns 'id', "
            "'source_id', 'source_url' and 'uploader' hold the names to give"
        )
    return removal


def find_rows(frames: Mapping[str, pd.DataFrame], request: Request) -> Found:
    """The clips and stills of a dataset's tables (`Shelf.frame`) that a request is about."""
    found = {config: frame[request.picks(frame)] for config, frame in frames.items()}
    none = next(iter(frames.values())).iloc[:0]
    words = _captions(*found.values()) - _captions(
        *(rows[~rows.id.isin(found[config].id)] for config, rows in frames.items())
    )
    return Found(found.get("clips", none), found.get("images", none), words)


def _captions(*frames: pd.DataFrame) -> frozenset[str]:
    return frozenset(text for rows in frames for text in rows.caption if text)


def note_removed(removal: Removal, found: Found) -> None:
    """Add rows to what the letter tells."""
    clips = {
        str(row["id"]): f"{row['start']:.3f}-{row['end']:.3f} s of {row['source_title']!r} "
        f"({row['source_url'] or row['source_id']})"
        for row in found.clips.to_dict("records")
    }
    removal.clips = {**removal.clips, **clips}
    removal.images = sorted({*removal.images, *found.images.id})


def _remove_from_folder(folder: Path, removal: Removal) -> None:
    """The mark first; then files, ledger rows and the saved dataset."""
    from brickfilm.saved import rewrite_saved

    try:
        shelf = find_dataset(folder)
    except NoDataset:
        return
    found = find_rows({c: shelf.frame(c) for c in shelf.configs}, removal.request)
    if shelf.work:
        found = replace(found, more_films=_films_in_ledger(shelf.work, removal.request, found))
    if not found:
        return
    note_removed(removal, found)
    work = shelf.work or folder
    write_tombstone(work, _tombstone(removal, found))
    rewrite_saved(shelf, found.files, found.ids)
    files = _delete_artefacts(work, removal.request, found)
    rows = _delete_answers(work, removal.request, found) if shelf.work else 0
    (work / "report.html").unlink(missing_ok=True)
    removal.places.append(f"{folder}: {files} files and {rows} rows of the ledger deleted")


def _films_in_ledger(work: Path, request: Request, found: Found) -> frozenset[str]:
    """Films of the sources in question, also those of which nothing came through a build."""
    from brickfilm.ledger import ledger_frame

    if request.kind == "clip":
        return frozenset()
    outcomes = ledger_frame(work)
    known = outcomes.source_id.isin(found.sources_of(request)) & (outcomes.kind != "listing")
    return frozenset(outcomes[known].item.str.split("-").str[0])


def _tombstone(removal: Removal, found: Found) -> Tombstone:
    """A clip's place is marked, a source by every name it has, an uploader by name and films."""
    request = removal.request
    whole = request.kind != "clip"
    film, first, last = ("", "0", "0") if whole else request.name.rsplit("-", 2)
    return Tombstone(
        kind=request.kind,
        name=request.name,
        at=removal.at,
        sources=found.sources_of(request) if request.kind == "source" else (),
        films=found.film_ids if whole else (),
        uploaders=(request.name,) if request.kind == "uploader" else (),
        spans=() if whole else ((film, int(first), int(last)),),
        clips=tuple(sorted(found.clips.id)),
    )


def _delete_artefacts(work: Path, request: Request, found: Found) -> int:
    """Files of the work folder that are named after what is removed, downloads included."""
    named = [f"{re.escape(name)}-" for name in _names(request, found)]
    if request.kind != "clip":
        sources = found.sources_of(request)
        slugs = {slug_of(source) for source in sources}
        named += [f"{re.escape(slug)}-[0-9a-f]{{8}}[.-]" for slug in slugs]
    pattern = re.compile("|".join(named) or "$^")
    doomed = [path for path in work.rglob("*") if path.is_file() and pattern.match(path.name)]
    for path in doomed:
        path.unlink()
    return len(doomed)


def _delete_answers(work: Path, request: Request, found: Found) -> int:
    """Ledger rows about what is removed: by key, by ids they name, by captions they hold."""
    from brickfilm.ledger import Ledger

    names = list(_names(request, found))
    if request.kind != "clip":
        names += found.sources_of(request)
    held = [json.dumps(text, ensure_ascii=False)[1:-1] for text in found.captions]
    with Ledger(work) as ledger:
        return ledger.forget(names, [*found.ids, *held])


def _names(request: Request, found: Found) -> Iterator[str]:
    """Ids of which all is removed: of the clips and stills, and of the films if they go whole."""
    yield from found.ids
    if request.kind != "clip":
        yield from found.film_ids


def _clip_column(rows: pd.DataFrame) -> str:
    """Where a row says which clip it belongs to."""
    return "clip_id" if "clip_id" in rows else "id"
