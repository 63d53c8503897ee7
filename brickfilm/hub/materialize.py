"""Cut the clips of a published dataset again from their sources, and say how each came out.

The references name a film, a span and digests. A film that is the same to the byte is cut by frame
numbers; of one that was encoded anew the same seconds are cut, and the pictures are compared.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from brickfilm.dataset import configs_from_rows, save_configs
from brickfilm.dataset.near_duplicates import NEAR_DUPLICATE_BITS
from brickfilm.dataset.reader import SavedDataset
from brickfilm.dataset.required_columns import require_columns, require_rows
from brickfilm.dataset.rows import DatasetRow, video_id_of
from brickfilm.engine.ledger.file import FILENAME as LEDGER
from brickfilm.engine.sinks import write_spans
from brickfilm.engine.stage import Answer, Stage, WorkItem
from brickfilm.errors import BrickfilmError, ItemError, UsageError
from brickfilm.files import disk_errors, make_folder
from brickfilm.hub.publish.provenance import load_provenance
from brickfilm.media import open_video
from brickfilm.records import Clip, Image, Listing, Span, Video
from brickfilm.schema.columns import MEDIA_COLUMN
from brickfilm.sources import FolderSource, RateLimits
from brickfilm.sources.youtube.fetch import FetchFilm
from brickfilm.sources.youtube.throttle import Throttle
from brickfilm.stages import ClipWriter, FrameSampler

if TYPE_CHECKING:
    import pandas as pd


MatchStatus = Literal["same bytes", "same pictures", "differs", "gone"]
MATCHING: tuple[MatchStatus, ...] = ("same bytes", "same pictures")
CSV_COLUMNS = ("config", "id", "verdict", "note", "source_id", "source_url")


@dataclass(frozen=True)
class RowResult:
    """What became of one row."""

    config: str
    row: DatasetRow
    status: MatchStatus
    note: str = ""
    record: Clip | Image | None = None
    """What was cut, if anything was."""


@dataclass(frozen=True)
class MaterializeResult:
    """What could be cut again."""

    dataset: Path
    """A saved dataset of the rows that came out the same."""
    table: Path
    """CSV: every row with its verdict."""
    counts: Counter[str]

    @property
    def all_match(self) -> bool:
        return not set(self.counts) - set(MATCHING)


def materialize(
    dataset: SavedDataset,
    out: Path,
    *,
    sources: Path | None = None,
    rate_limits: RateLimits | None = None,
) -> MaterializeResult:
    """Fetch the sources of a dataset into `out` (or find them in the folder `sources`) and cut.

    Rows that come out the same, to the byte or to the eye, become a saved dataset in `out`.
    """
    require_columns(dataset)
    require_rows(dataset)
    if (out / LEDGER).is_file():
        raise UsageError(
            f"{str(out)!r} is the work folder of a build, whose dataset would be replaced: name "
            "another --out"
        )
    frames = dataset.to_pandas_by_config()
    films = _index_local_videos(sources, out, rate_limits)
    with disk_errors(make_folder(out)):
        return _materialize_all(dataset, frames, films, out)


def _materialize_all(
    dataset: SavedDataset, frames: Mapping[str, pd.DataFrame], films: VideoLocator, out: Path
) -> MaterializeResult:
    cutter = ClipCutter.from_dataset(dataset, out)
    outcomes: list[RowResult] = []
    for source_id in dict.fromkeys(s for frame in frames.values() for s in frame.source_id):
        rows = {c: _to_rows(frame[frame.source_id == source_id]) for c, frame in frames.items()}
        outcomes += _materialize_video(films, cutter, rows.get("clips", []), rows.get("images", []))
    counts = Counter(outcome.status for outcome in outcomes)
    table = _write_table(outcomes, out / "materialized.csv")
    if not any(outcome.status in MATCHING for outcome in outcomes):
        told = ", ".join(f"{rows} {status}" for status, rows in counts.items())
        raise NothingMaterializedError(f"not one row could be cut again ({told}): {table} says why")
    return MaterializeResult(_save(outcomes, out), table, Counter(counts))


@dataclass(frozen=True)
class ClipCutter:
    """Cuts spans with the settings that the published clips were cut with."""

    work: Path
    writer: ClipWriter
    sampler: FrameSampler

    @classmethod
    def from_dataset(cls, dataset: SavedDataset, work: Path) -> ClipCutter:
        """The settings from the facts beside the dataset; the defaults where there are none."""
        stages = {
            stage["name"]: stage["settings"] for stage in load_provenance(dataset).stages or ()
        }
        known = {field.name for field in fields(ClipWriter)}
        told = {k: v for k, v in stages.get("ClipWriter", {}).items() if k in known}
        if "keyframes" in told:
            told["keyframes"] = tuple(told["keyframes"])
        return cls(work.resolve(), ClipWriter(**told), FrameSampler(at=(0.5,), images=True))

    def cut(self, clips: Sequence[Clip]) -> list[tuple[Clip, Image] | ItemError]:
        """Clip and middle frame of each span, or why there are none; one decode of the film."""
        sinks = (self.writer, self.sampler)
        digests = frozenset(sink.digest for sink in sinks)
        landed = write_spans(self.work, sinks, [WorkItem(clip, digests) for clip in clips])
        return [
            answers if isinstance(answers, ItemError) else self._records(clip, answers)
            for clip, answers in zip(clips, landed, strict=True)
        ]

    def _records(self, clip: Clip, answers: Mapping[str, Any]) -> tuple[Clip, Image]:
        (written,) = self.writer.apply(clip, answers[self.writer.digest])
        sampled, image = self.sampler.apply(written, answers[self.sampler.digest])
        assert isinstance(sampled, Clip) and isinstance(image, Image)
        return sampled, image


class VideoLocator:
    """Where the films of rows are: in a folder, by their bytes, else wherever their URL leads."""

    def __init__(
        self, local: Sequence[Video], work: Path, rate_limits: RateLimits | None = None
    ) -> None:
        self.by_id = {video.id: video for video in local}
        self.by_source_id = {video.source_id: video for video in local}
        self.work = work
        self.rate_limits = rate_limits or RateLimits()
        self.pace = Throttle(self.rate_limits)
        """One for all films, or they would not keep their distance."""

    def find(self, row: DatasetRow) -> Video:
        """The film that a row was cut from; ItemError if it is not to be had."""
        here = self.by_id.get(video_id_of(row["id"])) or self.by_source_id.get(row["source_id"])
        if here is not None:
            return here
        if not row["source_url"]:
            raise UsageError(
                f"{row['source_id']!r} has no address: put the film into a folder, --sources FOLDER"
            )
        return self._fetch(Listing(source_id=row["source_id"], url=row["source_url"]), row)

    def _fetch(self, listing: Listing, row: DatasetRow) -> Video:
        stage = FetchFilm(
            max_height=max(144, int(row["height"])),
            on_low_resolution="keep",
            rate_limits=self.rate_limits,
        )
        facts = stage.film(listing, self.work, self.pace)
        (video,) = stage.apply(listing, stage.answer(facts))
        return video


def _index_local_videos(
    sources: Path | None, work: Path, rate_limits: RateLimits | None
) -> VideoLocator:
    """The films of a folder, opened and digested."""
    if sources is None:
        return VideoLocator([], work, rate_limits)
    folder = FolderSource(sources)
    (probe,) = folder.stages()
    with probe.open(work) as compute:
        found = [video for item in folder.items() for video in _probe_video(probe, compute, item)]
    return VideoLocator(found, work, rate_limits)


def _probe_video(
    probe: Stage[Any, Any], compute: Callable[[Listing], Answer], item: Listing
) -> Iterator[Video]:
    """The film of a file; nothing of one that is none: the rows that want it will be gone."""
    with suppress(ItemError):
        yield from (v for v in probe.apply(item, compute(item)) if isinstance(v, Video))


def _materialize_video(
    films: VideoLocator, cutter: ClipCutter, clips: list[DatasetRow], images: list[DatasetRow]
) -> list[RowResult]:
    stills = {row["clip_id"]: row for row in images}
    shown = {row["id"] for row in clips}
    alone = [_clip_row_of_image(row) for row in images if row["clip_id"] not in shown]
    try:
        video = films.find([*clips, *alone][0])
        spans = FrameTimes.from_file(cutter.work / video.path)
    except (ItemError, UsageError) as error:
        every = [("clips", row) for row in clips] + [("images", row) for row in images]
        return [RowResult(config, row, "gone", str(error)) for config, row in every]
    video = replace(video, non_monotonic_pts=spans.has_jumps)
    # frame numbers say nothing of another copy
    places = clips + [row for row in alone if video_id_of(row["id"]) == video.id]
    wanted = [Clip(video=video, span=spans.span_of_row(row, video)) for row in places]
    cut = cutter.cut(wanted) if wanted else []
    make_folder = {row["id"]: one for row, one in zip(places, cut, strict=True)}
    outcomes: list[RowResult] = []
    for row in clips:
        outcomes += _compare_clip(row, stills.get(row["id"]), make_folder[row["id"]])
    return outcomes + [
        _compare_image(stills[row["id"]], make_folder.get(row["id"])) for row in alone
    ]


def _clip_row_of_image(image: DatasetRow) -> DatasetRow:
    """An image whose clip was not published, as the clip's row: its id says which frames it has."""
    _, first, last = image["clip_id"].rsplit("-", 2)
    return {**image, "id": image["clip_id"], "start_frame": int(first), "end_frame": int(last)}


def _to_rows(frame: pd.DataFrame) -> list[DatasetRow]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _compare_clip(
    row: DatasetRow, still: DatasetRow | None, make_folder: tuple[Clip, Image] | ItemError
) -> Iterator[RowResult]:
    """How a clip and its still came out."""
    if isinstance(make_folder, ItemError):
        yield RowResult("clips", row, "differs", str(make_folder))
        if still:
            yield RowResult("images", still, "differs", str(make_folder))
        return
    clip, image = make_folder
    status, note = _clip_status(row, clip)
    yield RowResult("clips", row, status, note, clip)
    if still:
        same = image.sha256 == still["sha256"]
        looks: MatchStatus = "same pictures" if status in MATCHING else "differs"
        yield RowResult("images", still, "same bytes" if same else looks, note, image)


def _compare_image(
    still: DatasetRow, make_folder: tuple[Clip, Image] | ItemError | None
) -> RowResult:
    """How an image came out whose clip was not published: nothing but its bytes can tell."""
    if make_folder is None:
        return RowResult("images", still, "differs", "another copy, and its clip was not published")
    if isinstance(make_folder, ItemError):
        return RowResult("images", still, "differs", str(make_folder))
    _, image = make_folder
    if image.sha256 == still["sha256"]:
        return RowResult("images", still, "same bytes", "", image)
    return RowResult("images", still, "differs", "other bytes, and its clip was not published")


def _clip_status(row: DatasetRow, clip: Clip) -> tuple[MatchStatus, str]:
    if clip.sha256 == row["sha256"]:
        return "same bytes", ""
    bits = max(
        (int(a, 16) ^ int(b, 16)).bit_count()
        for a, b in zip(row["frame_hashes"], clip.frame_hashes, strict=True)
    )
    if clip.span.frames != row["num_frames"]:
        return "differs", f"{clip.span.frames} frames, {row['num_frames']} were published"
    if bits > NEAR_DUPLICATE_BITS:
        return "differs", f"perceptual hashes are {bits} of 64 bits apart"
    return "same pictures", f"perceptual hashes are at most {bits} of 64 bits apart"


@dataclass(frozen=True)
class FrameTimes:
    """When each frame of a film is shown: ticks, one a frame, and the end of the last."""

    frame_pts: Sequence[int]
    end_pts: int
    has_jumps: bool

    @classmethod
    def from_file(cls, path: Path) -> FrameTimes:
        with open_video(path) as film:
            seen = [(frame.pts, frame.duration) for frame in film.frames()]
        frame_pts = [pts for pts, _ in seen]
        has_jumps = any(b <= a for a, b in itertools.pairwise(frame_pts))
        return cls(frame_pts, frame_pts[-1] + (seen[-1][1] or 1), has_jumps)

    def span_of_row(self, row: DatasetRow, video: Video) -> Span:
        """The span of a row: by frame numbers in the same film, by seconds in another copy."""
        if video_id_of(row["id"]) == video.id:
            first, last = int(row["start_frame"]), int(row["end_frame"])
        else:
            first, last = (self._frame_at(row[name], video) for name in ("start", "end"))
        first = min(first, len(self.frame_pts) - 1)
        last = min(max(last, first + 1), len(self.frame_pts))
        end_pts = self.frame_pts[last] if last < len(self.frame_pts) else self.end_pts
        return Span(
            start_frame=first, end_frame=last, start_pts=self.frame_pts[first], end_pts=end_pts
        )

    def _frame_at(self, seconds: float, video: Video) -> int:
        """The frame nearest to a time; one past the last for the film's end."""
        times = np.array([*self.frame_pts, self.end_pts], dtype=float) * float(video.time_base)
        return int(np.abs(times - seconds).argmin())


def _save(outcomes: Sequence[RowResult], out: Path) -> Path:
    """A saved dataset of the rows that came out the same."""
    tables: dict[str, list[DatasetRow]] = {"clips": [], "images": []}
    splits: dict[str, str] = {}
    for outcome in outcomes:
        if outcome.status in MATCHING and outcome.record is not None:
            tables[outcome.config].append(_updated_row(outcome))
            splits[video_id_of(outcome.row["id"])] = outcome.row["split"]
    configs = configs_from_rows(tables["clips"], tables["images"], splits, out)
    return save_configs(configs, out / "dataset")


class NothingMaterializedError(BrickfilmError):
    """No row of a dataset of references could be materialized."""


def _updated_row(outcome: RowResult) -> DatasetRow:
    """The published row with the media that was cut now: same place, perhaps other bytes."""
    record = outcome.record
    assert record is not None
    kept = {k: v for k, v in outcome.row.items() if k not in ("split", "file")}
    for name in {"frame_hashes", "new_drawings"} & set(kept):
        kept[name] = list(kept[name])
    size = {"width": record.width, "height": record.height}
    shape = {
        "aspect_ratio": record.height / record.width,
        "resolution": record.height * record.width,
    }
    media = {MEDIA_COLUMN[outcome.config]: str(record.path), "sha256": record.sha256}
    return {**kept, **size, **shape, **media}


def _write_table(outcomes: Sequence[RowResult], path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(CSV_COLUMNS)
        for o in outcomes:
            source = (o.row["source_id"], o.row["source_url"])
            table.writerow([o.config, o.row["id"], o.status, o.note, *source])
    return path
