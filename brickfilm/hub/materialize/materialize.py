"""Cut the clips of a published dataset again from their sources, and compare the results.

Rows name a source video, a span and digests. A source with the same bytes is cut by frame numbers;
of one that was encoded again the same seconds are cut, and the pictures are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from brickfilm.dataset.reader import SavedDataset
from brickfilm.dataset.required_columns import require_columns, require_rows
from brickfilm.dataset.rows import DatasetRow, video_id_of
from brickfilm.engine.ledger.file import FILENAME as LEDGER
from brickfilm.errors import BrickfilmError, ItemError, UsageError
from brickfilm.files import check_own_folder, disk_errors, make_folder
from brickfilm.hub.materialize.cutter import ClipCutter, clip_of_row, scan
from brickfilm.hub.materialize.default_downloads import AnyDownloads
from brickfilm.hub.materialize.locate import VideoLocator
from brickfilm.hub.materialize.results import (
    MATCHING,
    RowResult,
    compare_clip,
    compare_lone_image,
    save_matching_rows,
    write_table,
)
from brickfilm.sources.base import SOURCES_FOLDER, FetchingSource

if TYPE_CHECKING:
    import pandas as pd


TABLE_FILENAME = "materialized.csv"


class NothingMaterializedError(BrickfilmError):
    """No row of the dataset could be cut again."""


@dataclass(frozen=True)
class MaterializeResult:
    """The materialized dataset, and the number of rows by status."""

    dataset: Path
    """Folder of a saved dataset with the rows that match."""
    table: Path
    """CSV of every row with its status."""
    counts: Counter[str]

    @property
    def all_match(self) -> bool:
        return not set(self.counts) - set(MATCHING)


def materialize(
    dataset: SavedDataset,
    out: Path,
    *,
    sources: Path | None = None,
    downloads: object = None,
    allow_private: bool = False,
) -> MaterializeResult:
    """Find the sources of a dataset in the folder `sources`, or download them, and cut them again.

    downloads: a FetchingSource, by default AnyDownloads, which asks yt-dlp for pages.
    allow_private: download from addresses of this machine and its network too.
    Rows with the same bytes or pictures become a saved dataset in `out`. Raises
    NothingMaterializedError if there is none.
    """
    require_columns(dataset)
    require_rows(dataset)
    if (out / LEDGER).is_file():
        raise UsageError(
            f"{str(out)!r} is the work folder of a build, whose dataset would be replaced: name "
            "another --out"
        )
    check_own_folder(out, (TABLE_FILENAME,), (SOURCES_FOLDER, "clips", "stills"))
    frames = dataset.to_pandas_by_config()
    downloads = AnyDownloads() if downloads is None else downloads
    if not isinstance(downloads, FetchingSource):
        raise UsageError(
            f"{type(downloads).__name__} downloads nothing: name a source that does, or put the "
            "videos into a folder, --sources FOLDER"
        )
    opened = VideoLocator.open(out, sources, downloads, allow_private=allow_private)
    with opened as locator, disk_errors(make_folder(out)):
        results = _cut_all(ClipCutter.from_dataset(dataset, out), locator, frames)
        counts = Counter(result.status for result in results)
        table = write_table(results, out / TABLE_FILENAME)
        if not any(result.status in MATCHING for result in results):
            by_status = ", ".join(f"{rows} {status}" for status, rows in counts.items())
            raise NothingMaterializedError(
                f"no row could be cut again ({by_status}): {table} lists the reasons"
            )
        return MaterializeResult(save_matching_rows(results, out), table, Counter(counts))


def _cut_all(
    cutter: ClipCutter, locator: VideoLocator, frames: Mapping[str, pd.DataFrame]
) -> list[RowResult]:
    """Cut and compare all rows, one source after the other."""
    results: list[RowResult] = []
    for source_id in dict.fromkeys(s for frame in frames.values() for s in frame.source_id):
        rows = {c: _to_rows(frame[frame.source_id == source_id]) for c, frame in frames.items()}
        results += _cut_source(cutter, locator, rows.get("clips", []), rows.get("images", []))
    return results


def _cut_source(
    cutter: ClipCutter, locator: VideoLocator, clips: list[DatasetRow], images: list[DatasetRow]
) -> list[RowResult]:
    """Cut and compare the clips and images of one source."""
    image_by_clip = {row["clip_id"]: row for row in images}
    clip_ids = {row["id"] for row in clips}
    lone = [_clip_row_of_image(row) for row in images if row["clip_id"] not in clip_ids]
    try:
        video = locator.find([*clips, *lone][0])
        video = replace(video, conversions=_conversions_of(clips))
        scanned = scan(cutter.work, video)
    except (ItemError, UsageError) as error:
        rows = [("clips", row) for row in clips] + [("images", row) for row in images]
        return [RowResult(config, row, "gone", str(error)) for config, row in rows]
    video = scanned.measured(video)
    # the frame numbers of a lone image are of no use in another copy
    rows_to_cut = clips + [row for row in lone if video_id_of(row["id"]) == video.id]
    spans = [
        clip_of_row(row, image_by_clip.get(row["id"]), video, scanned.times) for row in rows_to_cut
    ]
    cut_clips = cutter.cut(spans) if spans else []
    cut_by_id = {row["id"]: cut for row, cut in zip(rows_to_cut, cut_clips, strict=True)}
    results: list[RowResult] = []
    for row in clips:
        results += compare_clip(row, image_by_clip.get(row["id"]), cut_by_id[row["id"]])
    return results + [
        compare_lone_image(image_by_clip[row["id"]], cut_by_id.get(row["id"])) for row in lone
    ]


def _conversions_of(clips: list[DatasetRow]) -> tuple[str, ...] | None:
    """Return what the build did to the video's pictures; None for datasets that do not say."""
    names = clips[0].get("conversions") if clips else None
    return None if names is None else tuple(names)


def _clip_row_of_image(image: DatasetRow) -> DatasetRow:
    """Return the row of an image's clip, whose id contains its span."""
    _, first, last = image["clip_id"].rsplit("-", 2)
    return {**image, "id": image["clip_id"], "start_frame": int(first), "end_frame": int(last)}


def _to_rows(frame: pd.DataFrame) -> list[DatasetRow]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
