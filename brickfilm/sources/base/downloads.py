"""Base of sources that download: the protocol, and the stage that makes videos of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, get_args, runtime_checkable

from brickfilm.digest import field_added_later
from brickfilm.engine.capabilities import SourceOwner, Updatable
from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import Rejected, UsageError
from brickfilm.records import DeinterlaceMode, HdrMode, Listing, Video
from brickfilm.schema.public_text import public_url
from brickfilm.sources.base.source_file import (
    VIDEO_FIELDS,
    SourceFile,
    SourceMetadata,
    lacks_picture,
)

RefetchFunction = Callable[[Listing, int], Video]
"""Downloads a listed video again, at least so many lines high if the site offers it."""


@runtime_checkable
class FetchingSource(Protocol):
    """A source that downloads videos, and can download one again from its row in a dataset."""

    def open_refetch(self, work: Path) -> AbstractContextManager[RefetchFunction]:
        """Yield a function that downloads into `work`; it raises ItemError."""


@dataclass(frozen=True, kw_only=True)
class PictureStage(Stage[Listing, Video], Updatable):
    """A stage that makes videos; their pictures are converted, or rejected, by its settings."""

    input_types = (Listing,)
    output_types = (Video,)

    hdr: HdrMode = field_added_later("reject")  # noqa: RUF009
    """High dynamic range (PQ, HLG): reject it, or "tonemap" it to BT.709."""
    deinterlace: DeinterlaceMode = field_added_later("auto")  # noqa: RUF009
    """Interlaced and telecined video: convert it to progressive frames, keep it "off", "reject"."""

    def __post_init__(self) -> None:
        check_choice("hdr", self.hdr, get_args(HdrMode))
        check_choice("deinterlace", self.deinterlace, get_args(DeinterlaceMode))

    def converted(self, video: Video, properties: Mapping[str, Any]) -> Video | Rejected:
        """Return the video with its conversions; properties: an answer with "picture"."""
        from brickfilm.media import PictureInfo

        if "picture" not in properties:
            return video
        picture = PictureInfo(**properties["picture"])
        modes: Any = {"hdr": self.hdr, "deinterlace": self.deinterlace}
        return picture.rejection(video, **modes) or replace(
            video,
            conversions=picture.conversions(self.deinterlace),
            has_matrix=picture.has_matrix,
        )


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise UsageError for a setting that is none of the choices."""
    if value not in choices:
        raise UsageError(f"{name}={value!r} must be {' or '.join(map(repr, choices))}")


@dataclass(frozen=True, kw_only=True)
class DownloadStage(PictureStage, SourceOwner):
    """A stage that downloads listed videos as `SourceFile`s; subclasses define `open`."""

    keep_sources: bool = field(default=True, compare=False)
    """False deletes a video when no stage will read it again."""

    def source_file(self, work: Path, listing: Listing) -> SourceFile:
        """Return the file of a video in a work folder."""
        return SourceFile.of(work, listing)

    def release_source(self, item: Listing, work: Path) -> None:
        if not self.keep_sources:
            self.source_file(work, item).delete_media()

    def request_source_refetch(self, item: Listing, work: Path) -> bool:
        self.source_file(work, item).request_refetch()
        return True

    def is_outdated(self, item: Listing, answer: Answer, work: Path) -> bool:
        return lacks_picture(answer["film"], work / answer["film"]["path"])

    def answer(self, metadata: SourceMetadata) -> Answer:
        """Return the metadata, and the file as part of the answer only if it is to be kept."""
        file = {"path": metadata["path"], "sha256": metadata["sha256"]}
        return {"film": dict(metadata), "files": [file] if self.keep_sources else []}

    def apply(self, item: Listing, answer: Answer) -> Iterable[Video | Rejected]:
        metadata = answer["film"]
        video = Video(
            path=Path(metadata["path"]),
            source_id=item.source_id,
            url=public_url(item.url),
            fps=Fraction(metadata["fps"]),
            time_base=Fraction(metadata["time_base"]),
            **{name: metadata[name] for name in VIDEO_FIELDS},
        )
        yield self.converted(video, metadata)
