"""Take clips out for good: of the work folder, of its saved dataset, and of what was published.

The mark that keeps them out (tombstones.py) is written first, so that a removal which is
interrupted can only be incomplete, never forgotten: run it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from brickfilm.engine.tombstones import ID_PATTERN, Tombstone
from brickfilm.errors import BrickfilmError, UsageError
from brickfilm.hub.publish import pushed_repos

if TYPE_CHECKING:
    import pandas as pd


class NothingToRemoveError(UsageError):
    """No row fits the request."""


@dataclass(frozen=True)
class RemovalRequest:
    """What somebody asked to be taken out."""

    kind: Literal["source", "clip", "uploader"]
    name: str

    @property
    def tombstone(self) -> Tombstone:
        """The mark of this request, as far as its words alone tell."""
        place = ID_PATTERN.match(self.name) if self.kind == "clip" else None
        film, first, last = place.groups() if place else ("", None, None)
        return Tombstone(
            kind=self.kind,
            name=self.name,
            at="",
            uploaders=(self.name,) if self.kind == "uploader" else (),
            spans=((film, int(first), int(last)),) if first and last else (),
        )

    def row_mask(self, rows: pd.DataFrame) -> pd.Series[bool]:
        """Which rows of a config this is about; of a clip, all that show any of its frames."""
        match self.kind:
            case "clip":
                return rows.id.map(self.tombstone.covers).astype(bool)
            case "uploader":
                return rows.uploader == self.name
            case "source":
                return (rows.source_id == self.name) | (rows.source_url == self.name)


@dataclass(frozen=True)
class MatchedRows:
    """The rows of a dataset that a request is about."""

    clips: pd.DataFrame
    images: pd.DataFrame
    captions: frozenset[str] = frozenset()
    """Captions that no other row has: an answer with these words is about these rows."""

    @property
    def files(self) -> dict[str, str]:
        """The parquet files that hold these rows, each with its config."""
        of_clips = dict.fromkeys(self.clips.file, "clips")
        return of_clips | dict.fromkeys(self.images.file, "images")

    @property
    def ids(self) -> frozenset[str]:
        return frozenset([*self.clips.id, *self.images.id])

    @property
    def video_ids(self) -> frozenset[str]:
        return frozenset(row.split("-", 1)[0] for row in self.ids)

    @property
    def source_ids(self) -> frozenset[str]:
        return frozenset([*self.clips.source_id, *self.images.source_id])

    @property
    def summary(self) -> str:
        """How many there are: '1 clip and 2 stills'."""
        return f"{pluralize(len(self.clips), 'clip')} and {pluralize(len(self.images), 'still')}"

    def __bool__(self) -> bool:
        return bool(self.ids)


@dataclass
class RemovalReport:
    """What was removed, and from where: `letter()` is for the person who asked."""

    request: RemovalRequest
    date: str
    clips: Mapping[str, str] = field(default_factory=dict)
    """Id to a line that says which film and seconds it was."""
    images: Sequence[str] = ()
    actions: list[str] = field(default_factory=list)
    """What was done where, in order, in words that anybody may read."""
    next_steps: list[str] = field(default_factory=list)
    """What is left to do, for whoever runs this."""
    has_tombstone: bool = False
    """Whether a mark keeps rebuilds from bringing them back."""
    tombstone: Tombstone = field(init=False)
    """What is meant, as far as it is known by now."""

    def __post_init__(self) -> None:
        self.tombstone = self.request.tombstone

    def reply_text(self) -> str:
        """What was removed, in words, without a word about this machine."""
        counts = f"{pluralize(len(self.clips), 'clip')} and {pluralize(len(self.images), 'still')}"
        lines = [
            f"Removed on {self.date} on request, {self.request.kind} {self.request.name!r}: "
            f"{counts}, with their captions.",
            *(f"- {clip}: {words}" for clip, words in sorted(self.clips.items())),
            "Where:",
            *(f"- {place}" for place in self.actions),
        ]
        if self.has_tombstone:
            lines.append("A mark keeps any rebuild from bringing them back.")
        return "\n".join(lines)


class PartialRemovalError(BrickfilmError):
    """A repository still holds what was removed elsewhere."""

    def __init__(self, removal: RemovalReport, refused: Sequence[BrickfilmError]) -> None:
        told = "; ".join(map(str, refused))
        super().__init__(f"{told}. Run the same command again: what is removed stays removed")
        self.removal = removal


def pluralize(count: int, word: str) -> str:
    """'1 clip', '2 clips'."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def remove(
    where: str | Path,
    request: RemovalRequest,
    *,
    forget_history: bool = False,
    include_hub: bool = True,
) -> RemovalReport:
    """Remove from a work folder and all repositories it was pushed to, or from one repository.

    forget_history: also destroy the old versions of the changed files on the Hub, for ever.
    published: False leaves repositories alone. Raises NothingToRemove, and StillPublished where
    the Hub would not let us: run it again.
    """
    from brickfilm.hub.removal.hub import remove_from_hub
    from brickfilm.hub.removal.work import remove_from_work

    removal = RemovalReport(request, datetime.now(UTC).date().isoformat())
    folder = Path(where)
    if not folder.is_dir():
        remove_from_hub(str(where), removal, forget_history=forget_history)
    else:
        work = remove_from_work(folder, removal)
        _remove_from_repos(pushed_repos(work) if include_hub else [], removal, forget_history)
    if not removal.actions:
        raise NothingToRemoveError(_nothing_matched(where, removal))
    return removal


def _remove_from_repos(repos: Sequence[str], removal: RemovalReport, forget_history: bool) -> None:
    """Every repository, also when another one refuses."""
    from brickfilm.hub.removal.hub import remove_from_hub

    refused: list[BrickfilmError] = []
    for repo_id in repos:
        try:
            remove_from_hub(repo_id, removal, forget_history=forget_history)
        except BrickfilmError as error:
            refused.append(error)
    if refused:
        raise PartialRemovalError(removal, refused) from refused[0]


def _nothing_matched(where: str | Path, removal: RemovalReport) -> str:
    request = removal.request
    if removal.has_tombstone:
        return f"{request.kind} {request.name!r} was removed before: nothing of it is left"
    return (
        f"no row of {str(where)!r} has the {request.kind} {request.name!r}: columns 'id', "
        "'source_id', 'source_url' and 'uploader' hold the names to give"
    )


def find_rows(frames: Mapping[str, pd.DataFrame], request: RemovalRequest) -> MatchedRows:
    """The clips and stills of a dataset's tables (`SavedDataset.frame`) that a request is about."""
    import pandas as pd

    found = {config: frame[request.row_mask(frame)] for config, frame in frames.items()}
    none = pd.DataFrame(columns=["id", "source_id", "file", "caption"])
    words = _distinct_captions(*found.values()) - _distinct_captions(
        *(rows[~rows.id.isin(found[config].id)] for config, rows in frames.items())
    )
    return MatchedRows(found.get("clips", none), found.get("images", none), words)


def _distinct_captions(*frames: pd.DataFrame) -> frozenset[str]:
    return frozenset(text for rows in frames for text in rows.caption if text)


def record_removed_rows(removal: RemovalReport, found: MatchedRows) -> None:
    """Add rows to what the letter tells."""
    clips = {
        str(row["id"]): f"{row['start']:.3f}-{row['end']:.3f} s of {row['source_title']!r} "
        f"({row['source_url'] or row['source_id']})"
        for row in found.clips.to_dict("records")
    }
    removal.clips = {**removal.clips, **clips}
    removal.images = sorted({*removal.images, *found.images.id})
