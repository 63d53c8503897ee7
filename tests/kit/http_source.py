"""A second source that downloads: videos at plain HTTP addresses, in one file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError
from urllib.request import urlopen

from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import Failed
from brickfilm.records import HdrMode, Listing
from brickfilm.sources.base import DownloadStage, RefetchFunction, SourceFile, SourceMetadata

TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class HttpSource:
    """Video files by URL, all of one uploader."""

    urls: tuple[str, ...] = ()
    uploader: str = ""
    keep_sources: bool = True
    hdr: HdrMode = "reject"

    def items(self) -> Iterator[Listing]:
        yield from (Listing(source_id=u, url=u, uploader=self.uploader) for u in self.urls)

    def stages(self) -> tuple[Stage[Any, Any], ...]:
        return (DownloadFile(keep_sources=self.keep_sources, hdr=self.hdr),)

    @contextmanager
    def open_refetch(self, work: Path) -> Iterator[RefetchFunction]:
        stage = DownloadFile()
        with stage.open(work) as compute:
            yield lambda listing, height: next(iter(stage.apply(listing, compute(listing))))


@dataclass(frozen=True, kw_only=True)
class DownloadFile(DownloadStage):
    """Download one file."""

    version: ClassVar[int] = 1

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        yield lambda item: self.answer(self._download(item, self.source_file(work, item)))

    def _download(self, item: Listing, file: SourceFile) -> SourceMetadata:
        if metadata := file.metadata():
            return metadata
        plan = {"source_id": item.source_id, "url": item.url, "uploader": item.uploader}
        file.write_plan(plan)
        draft = file.draft("http", "mp4")
        try:
            with urlopen(item.url, timeout=TIMEOUT_SECONDS) as response, draft.open("wb") as out:
                shutil.copyfileobj(response, out)
        except URLError as error:
            raise Failed(f"{item.url}: {error}") from error
        names = ("title", "channel", "upload_date", "licence", "format", "tool")
        return file.finish(draft, "mp4", lambda info: {**plan, **dict.fromkeys(names, "")})
