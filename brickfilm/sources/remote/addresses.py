"""Addresses of videos, and how they are opened.

An address is a URL of http(s), s3 or gs, or a path of this machine. `x.tar#clips/a.mp4` is a file
in a tar; `x.parquet#video:17` is the value of a row of a column, counted from 0.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from brickfilm.errors import Failed, UsageError
from brickfilm.schema.containers import VIDEO_SUFFIXES
from brickfilm.schema.public_text import public_text
from brickfilm.sources.base.public_addresses import WEB_SCHEMES, public_addresses_only
from brickfilm.sources.remote.web_file import WebFile

STORAGE_SCHEMES = ("s3", "gs")
SCHEMES = (*WEB_SCHEMES, *STORAGE_SCHEMES)
MEMBER = re.compile(r"(?P<base>[^?]+?\.(tar|parquet)(\?[^#]*)?)#(?P<member>.*)", re.DOTALL)
"""A part of the first tar or table in an address; a folder's name may have a '#' as well."""
READ_BYTES = 1 << 18
"""Bytes read at once: small files of a tar, and the header that follows, come in one request."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Settings of connections. They do not affect what is downloaded, so no digest has them."""

    allow_private: bool = False
    """True opens addresses of this machine and its network too."""
    trusted_hosts: frozenset[str] = frozenset()
    """Hosts that the user wrote, or that are set up for this machine."""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """The header `Authorization` by host."""
    max_bytes: int = 64 << 30
    """Size above which a file is not downloaded."""
    timeout: float = 30.0
    """Seconds without data until a connection is closed."""

    def guard(self) -> AbstractContextManager[None]:
        """Return a context in which this thread connects to allowed hosts only."""
        if self.allow_private:
            return nullcontext()
        return public_addresses_only(self.trusted_hosts)

    def open(self, address: str) -> BinaryIO:
        """Open a file for reading at any position; raise Failed with the reason if that fails."""
        base, _ = split_member(address)
        scheme = urlsplit(base).scheme
        if scheme in WEB_SCHEMES:
            header = self.credentials.get(urlsplit(base).netloc, "")
            web = WebFile(base, authorization=header, timeout=self.timeout)
            return io.BufferedReader(web, READ_BYTES)
        if scheme in STORAGE_SCHEMES:
            return open_in_storage(base)
        try:
            return Path(base).open("rb")
        except OSError as error:
            raise Failed(
                f"{base!r} cannot be read: {error.strerror}", reason="dead link"
            ) from error


def split_member(address: str) -> tuple[str, str]:
    """Split an address into that of a file, and the part of the file that is meant, or ''."""
    if parts := MEMBER.fullmatch(address):
        return parts["base"], parts["member"]
    is_web = urlsplit(address).scheme in WEB_SCHEMES
    return (address.partition("#")[0] if is_web else address), ""


def suffix_of(address: str) -> str:
    """Return the suffix of a video's name without its dot; mp4 for any other name."""
    base, member = split_member(address)
    name = member if base.partition("?")[0].endswith(".tar") else urlsplit(base).path
    suffix = PurePosixPath(unquote(name)).suffix.lower()
    return (suffix if suffix in VIDEO_SUFFIXES else ".mp4")[1:]


def validator_of(file: BinaryIO) -> str:
    """Return what tells that a file has not changed, such as its ETag; '' if nothing does."""
    raw = getattr(file, "raw", file)
    if isinstance(raw, WebFile):
        return raw.validator
    details: Mapping[str, Any] = getattr(file, "details", None) or {}
    return str(details.get("ETag") or details.get("etag") or details.get("generation") or "")


def size_of(file: BinaryIO) -> int:
    """Return the bytes of a file, which stays where it is; 0 if its server does not say."""
    raw = getattr(file, "raw", file)
    if isinstance(raw, WebFile):
        return raw.size or 0
    at = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(at)
    return size


def file_system(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path in it; UsageError without its extra."""
    import fsspec

    try:
        fs, path = fsspec.url_to_fs(url)
    except ImportError as error:
        raise UsageError(
            f"{public_text(url)} needs another package ({error}): pip install 'brickfilm[remote]'"
        ) from error
    return fs, path


def open_in_storage(url: str) -> BinaryIO:
    """Open an object of S3 or Google Cloud Storage, with the credentials of the environment."""
    fs, path = file_system(url)
    with storage_errors(url):
        opened: BinaryIO = fs.open(path, "rb")
        return opened


class storage_errors(AbstractContextManager[None]):  # noqa: N801  # used like a function
    """Raise Failed for errors of a file system, in one line."""

    def __init__(self, url: str) -> None:
        self.url = public_text(url)

    def __exit__(self, kind: Any, error: BaseException | None, at: Any) -> None:
        if isinstance(error, FileNotFoundError):
            raise Failed(f"{self.url} does not exist", reason="dead link") from error
        if isinstance(error, PermissionError):
            raise Failed(
                f"{self.url} may not be read ({error}): check the credentials of the environment",
                reason="forbidden",
            ) from error
        is_foreign = type(error).__module__.partition(".")[0] in ("botocore", "gcsfs", "aiohttp")
        if error is not None and (is_foreign or isinstance(error, OSError)):
            line = " ".join(public_text(str(error)).split())
            raise Failed(f"{self.url}: {line}", reason="not fetched") from error
