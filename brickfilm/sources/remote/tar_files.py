"""List the files in a tar without reading their contents, and open one of them."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from brickfilm.digest import digest_of
from brickfilm.errors import Failed
from brickfilm.schema.tar_headers import MAX_TEXT_BYTES, CheckedTar
from brickfilm.sources.remote.addresses import Access, validator_of
from brickfilm.sources.remote.web_file import WebFile

TEXT_SUFFIXES = (".txt", ".json")


@dataclass(frozen=True)
class TarMember:
    """Position and size of one file in a tar, in bytes."""

    start: int
    size: int
    text: bytes = b""
    """The content of a small .txt or .json."""


def list_tar(tar: str, access: Access) -> tuple[str, Mapping[str, TarMember]]:
    """Return a tar's version, and its files and hard links to them in its order.

    The version is a digest that changes with the tar; '' if its server does not tell. A version is
    listed once in a process.
    """
    version = _version(tar, access)
    return version, _members(tar, version, access)


def _version(tar: str, access: Access) -> str:
    with access.open(tar) as file:
        if "://" not in tar:
            stat = os.fstat(file.fileno())
            return digest_of([stat.st_size, stat.st_mtime_ns], 8)
        validator = validator_of(file)
    return digest_of(validator, 8) if validator else ""


@lru_cache(maxsize=256)
def _members(tar: str, version: str, access: Access) -> Mapping[str, TarMember]:
    members: dict[str, TarMember] = {}
    with access.open(tar) as file:
        try:
            with CheckedTar(fileobj=file) as archive:
                for member in archive:
                    _check_ranges(file)
                    if member.isreg():
                        text = _text_of(archive, member)
                        members[member.name] = TarMember(member.offset_data, member.size, text)
                    elif member.islnk() and member.linkname in members:
                        members[member.name] = members[member.linkname]
        except tarfile.TarError as error:
            raise Failed(
                f"{tar} cannot be read as an uncompressed tar: {error}", reason="no tar"
            ) from error
    return members


def _check_ranges(file: BinaryIO) -> None:
    raw = getattr(file, "raw", None)
    if isinstance(raw, WebFile) and not raw.has_ranges:
        raise Failed(
            f"{raw.url}: its server sends whole files only: download it, and give its path",
            reason="no ranges",
        )


def _text_of(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    is_text = member.name.endswith(TEXT_SUFFIXES) and member.size <= MAX_TEXT_BYTES
    file = archive.extractfile(member) if is_text else None
    return file.read() if file else b""


class FilePart(io.RawIOBase):
    """Bytes [start, start + size) of a file, as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        super().__init__()
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._start + self._at)
        block = self._file.read(min(len(buffer), max(0, self._size - self._at)))
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)
