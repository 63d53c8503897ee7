"""Measure files as a build would, without a work folder: scores of clips, and over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from brickfilm.engine.calls import apply_answers, open_stage, work_item_of
from brickfilm.errors import ItemError, UsageError
from brickfilm.inspection.probed_files import probe_files
from brickfilm.records import Clip, Video
from brickfilm.stages import Keep, SceneSplitter
from brickfilm.stages.keep import score_of


@dataclass(frozen=True, kw_only=True)
class MeasuredFile:
    """The scores of a file: of its clips, and of the windows that they are divided into."""

    source_id: str
    clips: tuple[Clip, ...] = ()
    """As a build would cut them."""
    windows: tuple[Clip, ...] = ()
    """Equal parts of the shots, in order."""
    errors: tuple[ItemError, ...] = ()
    """Of a file that cannot be used: one; else the parts that become no clip, with reasons."""

    @property
    def scores(self) -> list[str]:
        """Return the names of the scores."""
        return list(self.windows[0].scores) if self.windows else []


def measure_files(
    footage: str | Path,
    *,
    every: float = 1.0,
    splitter: SceneSplitter | None = None,
    **settings: Any,
) -> Iterator[MeasuredFile]:
    """Measure a video, or all videos of a folder or a glob.

    every: seconds of a window, at most. splitter: cuts and measures; default: of a new work folder.
    settings: those of FolderSource. Raise UsageError for footage that is not on this machine.
    """
    if not every > 0:
        raise UsageError(f"every={every}: give the seconds of a window, above 0")
    splitter = splitter or SceneSplitter(measures="default")
    splitter.check()
    with TemporaryDirectory(prefix="brickfilm-") as work, open_stage(splitter, Path(work)) as scan:
        for file in probe_files(footage, **settings):
            if file.video is None:
                errors = (file.error,) if file.error else ()
                yield MeasuredFile(source_id=file.source_id, errors=errors)
                continue
            (answers,) = scan([work_item_of(splitter, file.video)])
            if isinstance(answers, ItemError):
                yield MeasuredFile(source_id=file.source_id, errors=(answers,))
            else:
                yield _measured(splitter, file.video, answers, every)


def _measured(
    splitter: SceneSplitter, video: Video, answers: Mapping[str, Any], every: float
) -> MeasuredFile:
    """Cut a video twice from one scan: into clips, and into windows."""
    longest = max(1, round(every * float(video.fps)))
    windows = replace(
        splitter,
        min_frames=min(splitter.min_frames, longest),
        max_frames=longest,
        for_training=None,
    )
    found = apply_answers(splitter, video, answers)
    return MeasuredFile(
        source_id=video.source_id,
        clips=tuple(out for out in found if isinstance(out, Clip)),
        windows=tuple(w for w in apply_answers(windows, video, answers) if isinstance(w, Clip)),
        errors=tuple(out for out in found if isinstance(out, ItemError)),
    )


@dataclass(frozen=True)
class DropShare:
    """The part of some clips that a condition drops."""

    condition: str
    clips: int
    seconds: float
    of_clips: int
    of_seconds: float


def drop_shares(clips: Sequence[Clip], keeps: Sequence[Keep]) -> list[DropShare]:
    """Return what each condition would drop of clips by itself, and last what all drop together."""
    broken = [{clip.id for clip in clips if _is_dropped(clip, keep)} for keep in keeps]
    named = [*zip((keep.condition for keep in keeps), broken, strict=True)]
    named.append(("together", set().union(*broken)))
    seconds = {clip.id: clip.end - clip.start for clip in clips}
    total = sum(seconds.values())
    return [
        DropShare(name, len(ids), sum(seconds[id] for id in ids), len(clips), total)
        for name, ids in named
    ]


def _is_dropped(clip: Clip, keep: Keep) -> bool:
    value = score_of(clip, keep.score)
    return value is not None and bool(keep.broken_bound(value))
