"""Find what a build of other footage would replace in the dataset of a work folder."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brickfilm.dataset.reader import CorruptDatasetError, find_dataset
from brickfilm.dataset.rows import video_id_of
from brickfilm.digest import digest_name
from brickfilm.engine.ledger import entries_of_last_pass, paid_by_item, probed_digests
from brickfilm.engine.ledger.file import FILENAME as LEDGER
from brickfilm.engine.pipeline import Source, source_id_of
from brickfilm.errors import ItemError, UsageError
from brickfilm.files import printable
from brickfilm.records import Listing
from brickfilm.schema.plural import pluralize
from brickfilm.sources.folder import Probe

if TYPE_CHECKING:
    import pandas as pd

MAX_NAMES = 3


@dataclass(frozen=True)
class ReplacedFootage:
    """Videos of a dataset that footage does not have, and their rows."""

    videos: list[str]
    """Source ids."""
    clips: int
    images: int
    dollars: float
    """US dollars spent or reserved for answers about these rows."""

    def __str__(self) -> str:
        names = ", ".join(map(repr, self.videos[:MAX_NAMES]))
        more = len(self.videos) - MAX_NAMES
        names += f" and {more:,} more" if more > 0 else ""
        rows = f"{pluralize(self.clips, 'clip')} and {pluralize(self.images, 'image')}"
        paid = f", ${self.dollars:,.4f} paid for them" if self.dollars else ""
        return f"{pluralize(len(self.videos), 'video')} ({names}; {rows}{paid})"


def replaced_footage(source: Source, work: Path) -> ReplacedFootage | None:
    """Return the videos of the dataset in a work folder that a source does not have, or None.

    A file is the same video if its path is that of the last build, also with new content, or if its
    bytes are. Other sources name their videos; of playlists and channels, those are compared.
    """
    rows = _dataset_rows(work)
    if rows is None or rows.empty:
        return None
    stored = dict(zip(rows.source_id, rows.id.map(video_id_of), strict=True))
    gone = rows[rows.source_id.isin(_unlisted(source, stored, work))]
    if gone.empty:
        return None
    counts = gone.config.value_counts()
    paid = _paid_by_item(work)
    return ReplacedFootage(
        sorted(gone.source_id.unique()),
        int(counts.get("clips", 0)),
        int(counts.get("images", 0)),
        sum(paid.get(item, 0.0) for item in gone.id),
    )


def _paid_by_item(work: Path) -> Mapping[str, float]:
    try:
        return paid_by_item(work)
    except UsageError:  # an older ledger, whose answers do not name their items
        return {}


def _dataset_rows(work: Path) -> pd.DataFrame | None:
    """Return id, source_id and config of every row; None without a dataset that can be read."""
    import pandas as pd

    if not (work / LEDGER).is_file() or not (work / "dataset").is_dir():
        return None
    try:
        entries_of_last_pass(work)
        saved = find_dataset(work)
        columns = ("id", "source_id")
        parts = [saved.to_pandas(c, columns).assign(config=c) for c in saved.configs]
    except (UsageError, CorruptDatasetError):  # damaged: the build says so, or writes it anew
        return None
    return pd.concat(parts) if parts else None


def _unlisted(source: Source, stored: Mapping[str, str], work: Path) -> Iterable[str]:
    """Return the source ids, with the ids of their videos, that a source does not list."""
    first = source.stages()[0]
    if Listing in first.output_types:  # its entries may be playlists, whose videos it lists later
        entries = entries_of_last_pass(work)
        return () if any(source_id_of(item) in entries for item in source.items()) else stored
    files = _Files(first, work) if isinstance(first, Probe) else None
    missing, elsewhere = dict(stored), []
    for item in source.items():
        name = source_id_of(item)
        if files is None or not isinstance(item, Listing):
            missing.pop(name, None)
        elif name in missing and files.knows_path_of(item):
            del missing[name]
        else:
            elsewhere.append(item)
        if not missing:
            return ()
    same = {files.video_id(item) for item in elsewhere} if files else set()
    return [name for name, video in missing.items() if video not in same]


class _Files:
    """Files of a folder, compared with those that a work folder has answers about."""

    def __init__(self, probe: Probe, work: Path) -> None:
        self._probe, self._work = probe, work
        self._digests = probed_digests(work, digest_name(Probe))
        self._keys = sorted(self._digests)

    def knows_path_of(self, listing: Listing) -> bool:
        """Return True for a file that was built, also if its content has changed since."""
        start = f"{printable(str(listing.path))}:"
        place = bisect_left(self._keys, start)
        return place < len(self._keys) and self._keys[place].startswith(start)

    def video_id(self, listing: Listing) -> str:
        """Return the id of a file's video, read unless it is stored; '' if it is no video."""
        if stored := self._digests.get(self._probe.key(listing)):
            return stored[:16]  # as Video.id
        try:
            with self._probe.open(self._work) as compute:
                return str(compute(listing)["sha256"])[:16]
        except ItemError:
            return ""
