"""Download videos by address; a finished one is never requested again, an interrupted resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import metadata as distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from brickfilm.engine.stage import Answer, Resources
from brickfilm.errors import Failed, Rejected
from brickfilm.records import Listing, Video
from brickfilm.sources.base import (
    PARTIAL_SUFFIXES,
    DownloadStage,
    SourceFile,
    SourceMetadata,
)
from brickfilm.sources.base.active_downloads import ActiveDownloads
from brickfilm.sources.base.lock import SourcesLock, check_bytes, video_gone_error
from brickfilm.sources.remote.addresses import (
    Access,
    size_of,
    split_member,
    suffix_of,
    validator_of,
)
from brickfilm.sources.remote.parquet_rows import RowReader
from brickfilm.sources.remote.tar_files import FilePart, list_tar

if TYPE_CHECKING:
    from brickfilm.media import VideoInfo

BLOCK_BYTES = 1 << 20
FORMAT_ID = "file"
GONE = ("dead link", "no video")


@dataclass(frozen=True, kw_only=True)
class FetchFile(DownloadStage):
    """Download a listed file as it is; Failed with a reason for an address without a video.

    lock, allow_drift: download exactly the bytes of a lock file, or accept others.
    """

    version: ClassVar[int] = 1

    allow_drift: bool = False
    lock: SourcesLock | None = field(default=None, compare=False, repr=False)
    access: Access = field(default=Access(), compare=False, repr=False)
    concurrency: int = field(default=4, compare=False, repr=False)
    """Parallel downloads; 1 for rows of a table, which are read one after the other."""
    downloads: ActiveDownloads = field(default_factory=ActiveDownloads, compare=False, repr=False)

    def active_downloads(self) -> list[str]:
        """Return a progress line for each active download."""
        return self.downloads.lines()

    @property
    def resources(self) -> Resources:
        return Resources(pool="thread", concurrency=self.concurrency)

    def key(self, item: Listing) -> str:
        """Return the id, with what the source or the lock file says of the bytes."""
        locked = self.lock.find(item.source_id) if self.lock else None
        digest = locked.sha256 if locked else item.version
        return f"{item.id}@{digest}" if digest else item.id

    def source_file(self, work: Path, listing: Listing) -> SourceFile:
        return SourceFile.of(work, listing, *filter(None, [listing.version]))

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        rows = RowReader(self.access)
        yield lambda item: self.answer(self.fetch(item, work, rows))

    def fetch(self, item: Listing, work: Path, rows: RowReader) -> SourceMetadata:
        """Return a video's metadata from its sidecar, after downloading it if necessary."""
        locked = self.lock.find(item.source_id) if self.lock else None
        file = self.source_file(work, item)
        metadata = file.verified_metadata() if locked else file.metadata()
        if metadata is None:
            try:
                metadata = self._download(item, file, rows)
            except Failed as error:
                if locked and error.reason in GONE:
                    raise video_gone_error(locked, error) from error
                raise
        if locked and not self.allow_drift:
            check_bytes(locked, metadata["sha256"])
        return file.with_picture(metadata)

    def apply(self, item: Listing, answer: Answer) -> Iterable[Video | Rejected]:
        """Yield the video with what its source lists now: that is never asked for again."""
        for video in super().apply(item, answer):
            yield (
                video
                if isinstance(video, Rejected)
                else replace(
                    video,
                    title=item.title,
                    uploader=item.uploader,
                    licence=item.licence,
                    spans=item.spans,
                )
            )

    def _download(self, item: Listing, file: SourceFile, rows: RowReader) -> SourceMetadata:
        address = item.address or item.url
        ext = suffix_of(address)
        draft = file.draft(FORMAT_ID, ext)
        plan = {
            "source_id": item.source_id,
            "url": item.url,
            "title": item.title,
            "uploader": item.uploader,
            "licence": item.licence,
        }
        if not (draft.is_file() and file.plan()):  # else it was complete when a run was killed
            base, member = split_member(address)
            if member and base.partition("?")[0].endswith(".parquet"):
                file.write_plan(plan)
                part = _part_of(draft)
                part.write_bytes(rows.read(base, member))
                part.replace(draft)
            else:
                self._download_file(item, address, file, draft, plan)
        return file.finish(draft, ext, lambda info: {**plan, **_properties(info)})

    def _download_file(
        self, item: Listing, address: str, file: SourceFile, draft: Path, plan: dict[str, Any]
    ) -> None:
        part = _part_of(draft)
        with (
            self.downloads.track(item) as on_bytes,
            self.access.guard(),
            open_file(address, self.access) as source,
        ):
            validator, size = validator_of(source), size_of(source)
            if size > self.access.max_bytes:
                raise Failed(
                    f"{item.url} has {size:,} bytes: raise Access(max_bytes=) to download it",
                    reason="too large",
                )
            before = (file.plan() or {}).get("validator")
            if not validator or before != validator:
                part.unlink(missing_ok=True)
            file.write_plan({**plan, "validator": validator})
            with part.open("ab") as target:
                source.seek(target.tell())
                while block := source.read(BLOCK_BYTES):
                    target.write(block)
                    on_bytes({"downloaded_bytes": target.tell(), "total_bytes": size})
        part.replace(draft)


@contextmanager
def open_file(address: str, access: Access) -> Iterator[BinaryIO]:
    """Open the file at an address, or the one inside a tar."""
    base, member = split_member(address)
    if not member:
        with access.open(base) as file:
            yield file
        return
    _, members = list_tar(base, access)
    if (found := members.get(member)) is None:
        raise Failed(f"{address}: the tar has no such file", reason="dead link")
    with access.open(base) as tar:
        part: Any = FilePart(tar, found.start, found.size)
        part.details = {"ETag": validator_of(tar)}
        yield part


def _part_of(draft: Path) -> Path:
    """Return the name of a file until it is complete."""
    return draft.with_name(f"{draft.name}{PARTIAL_SUFFIXES[0]}")


def _properties(info: VideoInfo) -> dict[str, str]:
    """Return what the metadata of a download say of the file itself."""
    return {
        "channel": "",
        "upload_date": "",
        "format_id": FORMAT_ID,
        "format": f"{info.container}/{info.codec}",
        "tool": f"brickfilm {distributions.version('brickfilm')}",
    }
