"""List the videos of a folder on a web server, on S3 or on Google Cloud Storage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from brickfilm.digest import digest_of
from brickfilm.errors import ItemError, Rejected, UsageError
from brickfilm.records import Listing
from brickfilm.schema.containers import VIDEO_SUFFIXES
from brickfilm.schema.public_text import public_text, strip_credentials
from brickfilm.sources.base.public_addresses import WEB_SCHEMES
from brickfilm.sources.remote.addresses import SCHEMES, Access, file_system, storage_errors
from brickfilm.sources.remote.source import RemoteSource, basic_credentials, located, with_own
from brickfilm.sources.remote.web_page import links_of

MAX_PAGES = 10_000
"""Folders of a web server that are listed: a page may link to itself under ever new names."""


@dataclass(frozen=True)
class RemoteFolderSource(RemoteSource):
    """Every video below a URL of http(s), s3 or gs, or the one video at it.

    A web server must show its folders as pages of links. S3 and Google Cloud Storage take their
    credentials from the environment, as their own tools do.
    """

    url: str

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES or not parts.netloc:
            known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise UsageError(f"{public_text(self.url)!r} is no remote folder: give {known}")

    def listings(self) -> Iterator[Listing | ItemError]:
        """Yield the videos sorted by name, then what is passed over."""
        found = dict(sorted(self._files()))
        videos = {name: info for name, info in found.items() if _is_video(name)}
        if not videos:
            raise UsageError(f"no video below {public_text(self.url)}")
        for name, info in videos.items():
            yield self._listing(name, info)
        for name in found.keys() - videos.keys():
            suffix = PurePosixPath(name).suffix.lower() or "no suffix"
            yield Rejected(
                f"{name!r} is passed over: no footage: {suffix}",
                reason=f"no footage: {suffix}",
                record=Listing(source_id=name),
            )

    def full_access(self) -> Access:
        return with_own(super().full_access(), [self.url], basic_credentials([self.url]))

    def _listing(self, name: str, info: dict[str, Any]) -> Listing:
        tag = info.get("ETag") or info.get("etag") or info.get("md5Hash") or ""
        return Listing(
            source_id=name,
            title=PurePosixPath(name).stem,
            bytes=info.get("size") or 0,
            version=digest_of(str(tag), 8) if tag else "",
            licence=self.licence,
            uploader=self.uploader,
            **located(info["url"]),
        )

    def _files(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the files below the URL, by their paths relative to it."""
        parts = urlsplit(self.url)
        if _is_video(parts.path):
            yield PurePosixPath(unquote(parts.path)).name, {"url": self.url}
        elif parts.scheme in WEB_SCHEMES:
            yield from self._linked_files()
        else:
            fs, root = file_system(self.url)
            with storage_errors(self.url):
                objects = fs.find(root, detail=True)
            for path, info in objects.items():
                name = path.removeprefix(root).strip("/")
                yield name, {**info, "url": f"{parts.scheme}://{path}"}

    def _linked_files(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the files that pages link to, from page to page below the URL."""
        root = strip_credentials(self.url).partition("?")[0].rstrip("/") + "/"
        access, pages, seen = self.full_access(), [root], {root}
        for _ in range(MAX_PAGES):
            if not pages:
                return
            for link in links_of(pages.pop(), access):
                url = strip_credentials(link).partition("#")[0]
                if not url.startswith(root) or "?" in url or ".." in url or url in seen:
                    continue
                seen.add(url)
                if url.endswith("/"):
                    pages.append(url)
                else:
                    yield unquote(url.removeprefix(root)), {"url": url}
        if pages:
            raise UsageError(
                f"{public_text(root)} has more than {MAX_PAGES:,} folders: give one of them"
            )


def _is_video(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES
