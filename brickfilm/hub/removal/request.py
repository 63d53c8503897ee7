"""A removal request, and the rows of a dataset that it matches."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from brickfilm.engine.tombstones import ID_PATTERN, Tombstone
from brickfilm.schema.plural import pluralize

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RemovalRequest:
    """The clip, source or uploader to remove, by its name."""

    kind: Literal["source", "clip", "uploader"]
    name: str

    @property
    def tombstone(self) -> Tombstone:
        """Return the tombstone of this request, before any dataset was searched."""
        match = ID_PATTERN.match(self.name) if self.kind == "clip" else None
        video_id, first, last = match.groups() if match else ("", None, None)
        return Tombstone(
            kind=self.kind,
            name=self.name,
            at="",
            uploaders=(self.name,) if self.kind == "uploader" else (),
            spans=((video_id, int(first), int(last)),) if first and last else (),
        )

    def row_mask(self, rows: pd.DataFrame) -> pd.Series[bool]:
        """Return the mask of matching rows; a clip's id matches all rows with any of its frames."""
        match self.kind:
            case "clip":
                return rows.id.map(self.tombstone.covers).astype(bool)
            case "uploader":
                return rows.uploader == self.name
            case "source":
                return (rows.source_id == self.name) | (rows.source_url == self.name)


@dataclass(frozen=True)
class MatchedRows:
    """The rows of a dataset that a request matches."""

    clips: pd.DataFrame
    images: pd.DataFrame
    captions: frozenset[str] = frozenset()
    """Captions that no other row has: answers with this text belong to these rows."""

    @property
    def files(self) -> dict[str, str]:
        """Return the parquet files that contain these rows, each with its config."""
        return dict.fromkeys(self.clips.file, "clips") | dict.fromkeys(self.images.file, "images")

    @property
    def ids(self) -> frozenset[str]:
        return frozenset([*self.clips.id, *self.images.id])

    @property
    def video_ids(self) -> frozenset[str]:
        return frozenset(row_id.split("-", 1)[0] for row_id in self.ids)

    @property
    def source_ids(self) -> frozenset[str]:
        return frozenset([*self.clips.source_id, *self.images.source_id])

    @property
    def summary(self) -> str:
        return count_rows(self.clips, self.images)

    def __bool__(self) -> bool:
        return bool(self.ids)


def find_rows(frames: Mapping[str, pd.DataFrame], request: RemovalRequest) -> MatchedRows:
    """Find the rows that a request matches, in `SavedDataset.to_pandas_by_config()`."""
    import pandas as pd

    matched = {config: frame[request.row_mask(frame)] for config, frame in frames.items()}
    others = [rows[~rows.id.isin(matched[config].id)] for config, rows in frames.items()]
    captions = _distinct_captions(*matched.values()) - _distinct_captions(*others)
    empty = pd.DataFrame(columns=["id", "source_id", "file", "caption"])
    return MatchedRows(matched.get("clips", empty), matched.get("images", empty), captions)


def _distinct_captions(*frames: pd.DataFrame) -> frozenset[str]:
    return frozenset(text for rows in frames for text in rows.caption if text)


def count_rows(clips: Sized, images: Sized) -> str:
    """Return a count as '1 clip and 2 stills'."""
    return f"{pluralize(len(clips), 'clip')} and {pluralize(len(images), 'still')}"
