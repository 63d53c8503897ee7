"""Read tars that anybody may have written: their headers may say any size, of any member."""

from __future__ import annotations

import tarfile
from typing import Self

MAX_TEXT_BYTES = 1 << 20
"""Largest .txt or .json of a sample that is read."""
MAX_HEADER_BYTES = 1 << 18
"""Largest extended header: `tarfile` reads them into memory, and up to a thousand in a row."""
MAX_MEMBERS = 1_000_000
"""Most members of a tar: a list of them has to fit into memory."""
EXTENDED_TYPES = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
HEADER_ERRORS = (OSError, ValueError, OverflowError, RecursionError, MemoryError)
"""Errors of `tarfile` for a header that makes no sense, besides its own."""


class CheckedTarInfo(tarfile.TarInfo):
    """A header of a member; raises ReadError for a size below 0, or one too large to be read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.type in EXTENDED_TYPES and info.size > MAX_HEADER_BYTES):
            raise tarfile.ReadError(f"a header says {info.size:,} bytes")
        return info


class CheckedTar(tarfile.TarFile):
    """An uncompressed tar to read, which raises TarError for whatever is wrong with its headers.

    Open it as `CheckedTar(fileobj=file)`.
    """

    tarinfo = CheckedTarInfo
    _count = 0

    def next(self) -> tarfile.TarInfo | None:
        try:
            member = super().next()
        except HEADER_ERRORS as error:
            raise tarfile.ReadError(f"a header is invalid ({error or 'too large'})") from error
        if member is None:
            return None
        self.members: list[tarfile.TarInfo] = []  # `tarfile` would keep every header
        self._count += 1
        if self._count > MAX_MEMBERS:
            raise tarfile.ReadError(f"it has more than {MAX_MEMBERS:,} members: split it")
        if member.size < 0 or member.issparse():
            what = "sparse" if member.issparse() else f"of {member.size:,} bytes"
            raise tarfile.ReadError(f"{member.name!r} is {what}: pack it without --sparse")
        return member
