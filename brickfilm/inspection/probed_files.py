"""Probe files as a build would, without a work folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from brickfilm.engine.calls import AnyStage, apply_answers, open_stage, work_item_of
from brickfilm.engine.pipeline import source_id_of
from brickfilm.engine.stage import Result
from brickfilm.errors import ItemError, UsageError
from brickfilm.records import Listing, Video
from brickfilm.sources import FolderSource


@dataclass(frozen=True, kw_only=True)
class ProbedFile:
    """A file as a build would see it."""

    source_id: str
    video: Video | None = None
    """None if the build would leave it out or fail on it."""
    picture: Mapping[str, Any]
    """Storage of its pictures; empty if it could not be read."""
    error: ItemError | None = None


def probe_files(footage: str | Path, **settings: Any) -> Iterator[ProbedFile]:
    """Probe a video, or all videos of a folder or a glob; settings: those of FolderSource.

    Raise UsageError for footage that is not on this machine.
    """
    if "://" in str(footage) or str(footage).startswith("hub:"):
        raise UsageError(f"{str(footage)!r} is not on this machine: name a file or a folder")
    source = FolderSource(footage, **settings)
    (stage,) = source.stages()
    with TemporaryDirectory(prefix="brickfilm-") as folder, open_stage(stage, Path(folder)) as run:
        for listing in source.items():
            if isinstance(listing, ItemError):
                yield ProbedFile(source_id=source_id_of(listing), picture={}, error=listing)
                continue
            (result,) = run([work_item_of(stage, listing)])
            yield _probed(stage, listing, result)


def _probed(stage: AnyStage, listing: Listing, result: Result) -> ProbedFile:
    name = listing.source_id
    if isinstance(result, ItemError):
        return ProbedFile(source_id=name, picture={}, error=result)
    (out,) = apply_answers(stage, listing, result)
    picture = result[stage.digest].get("picture", {})
    if isinstance(out, ItemError):
        return ProbedFile(source_id=name, picture=picture, error=out)
    return ProbedFile(source_id=name, picture=picture, video=out)
