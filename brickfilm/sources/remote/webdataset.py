"""List the videos of tar files in the form of WebDataset: a.mp4, a.txt, a.json side by side."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import Any

from brickfilm.captions.json_reply import one_line
from brickfilm.errors import Failed, ItemError, UsageError
from brickfilm.files import parse_json, printable
from brickfilm.records import GivenSpan, Listing
from brickfilm.schema.containers import VIDEO_SUFFIXES
from brickfilm.schema.public_text import public_url
from brickfilm.schema.tar_headers import MAX_TEXT_BYTES
from brickfilm.sources.remote.addresses import Access
from brickfilm.sources.remote.listed_rows import columns_of, error_naming
from brickfilm.sources.remote.source import RemoteSource, basic_credentials, located, with_own
from brickfilm.sources.remote.tar_files import TarMember, list_tar

BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
OF_THE_FILE = ("caption", "licence", "uploader", "title")
"""What a .json may say of its video; the text of a .txt is its caption, too."""


@dataclass(frozen=True)
class WebDatasetSource(RemoteSource):
    """Every video in tar files: paths, globs or URLs, with numbers in braces as in a-{00..12}.tar.

    Files with one name up to the first dot belong together. A .txt is the video's caption, else the
    field `caption` or `text` of its .json, which may also have licence, uploader and title. A video
    with a caption is one clip. columns: names of fields that are called otherwise; one for the
    caption is read in place of the .txt, and "" leaves captions out.
    """

    tars: str | Path | Sequence[str | Path]
    columns: Mapping[str, str] = field(default_factory=dict)

    def listings(self) -> Iterator[Listing | ItemError]:
        """Yield the videos of one tar after the other, by its headers; Failed for a missing tar."""
        names = _names(self._tars())
        defaults = {"licence": self.licence, "uploader": self.uploader}
        yield from TarListing(self.full_access(), self.columns, defaults).videos(names)

    def full_access(self) -> Access:
        return with_own(super().full_access(), self._given, basic_credentials(self._given))

    @property
    def _given(self) -> list[str]:
        return [str(t) for t in ([self.tars] if isinstance(self.tars, str | Path) else self.tars)]

    def _tars(self) -> list[str]:
        """Return the addresses of the tars, sorted; UsageError if there are none."""
        found = {address for given in self._given for address in _expanded(given)}
        if not found:
            raise UsageError("WebDatasetSource() needs a tar: a path, a glob or a URL")
        return sorted(found)


@dataclass(frozen=True)
class TarListing:
    """Lists the videos of tars."""

    access: Access
    columns: Mapping[str, str]
    defaults: Mapping[str, str]
    """Licence and uploader of videos without."""

    def videos(self, names: Mapping[str, str]) -> Iterator[Listing | ItemError]:
        """Yield the videos of tars; at the end UsageError for a field that no .json has.

        names: address to the name that the ids begin with.
        """
        known: set[str] = set()
        is_any = False
        for tar, name in names.items():
            try:
                for item in self._of_tar(tar, name, known):
                    is_any |= isinstance(item, Listing)
                    yield item
            except ItemError as error:
                error.record = Listing(source_id=name)
                yield error
        missing = sorted(set(filter(None, self.columns.values())) - known)
        if is_any and missing:
            there = ", ".join(sorted(known)) or "no .json"
            raise UsageError(f"no .json has a field {missing[0]!r}: there is {there}")

    def _of_tar(self, tar: str, name: str, known: set[str]) -> Iterator[Listing | ItemError]:
        """Yield the videos of a tar, and add the fields of their .json to `known`."""
        with self.access.guard():
            version, members = list_tar(tar, self.access)
        videos = [m for m in members if _is_video(m)]
        if not videos:
            raise Failed(f"{name} holds no video", reason="no video")
        for member in videos:
            source_id = printable(f"{name}#{member}")
            try:
                cells = self._cells(source_id, _sample_key(member), members, known)
            except Failed as error:
                error.record = Listing(source_id=source_id)
                yield error
                continue
            address = f"{tar}#{member}"
            yield Listing(
                source_id=source_id,
                bytes=members[member].size,
                version=version,
                spans=(GivenSpan(caption=cells["caption"]),) if cells.get("caption") else (),
                title=cells.get("title") or PurePosixPath(member).stem,
                licence=cells.get("licence") or self.defaults["licence"],
                uploader=cells.get("uploader") or self.defaults["uploader"],
                **(located(address) if "://" in tar else {"address": address}),
            )

    def _cells(
        self, name: str, key: str, members: Mapping[str, TarMember], known: set[str]
    ) -> dict[str, str]:
        """Return what .json and .txt say of a video; Failed if they cannot be read."""
        fields: Any = {}
        if text := _text_of(name, members.get(f"{key}.json")):
            try:
                fields = parse_json(text)
            except ValueError as error:
                raise Failed(f"{name}: its .json is none: {error}", reason="no JSON") from error
        fields = fields if isinstance(fields, dict) else {}
        known.update(fields)
        given = {what: c if c in fields else "" for what, c in self.columns.items()}
        columns = columns_of(list(fields), given, error_naming(name))
        cells = {w: _field(name, fields, c) for w, c in columns.items() if w in OF_THE_FILE}
        if "caption" not in self.columns:
            text = one_line(_text_of(name, members.get(f"{key}.txt")))
            cells["caption"] = text or cells.get("caption", "")
        return cells


def _is_video(member: str) -> bool:
    """Return True for a video; `._a.mp4` is what macOS packs beside a file."""
    path = PurePosixPath(member)
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def _text_of(name: str, member: TarMember | None) -> str:
    """Return the text of a video's .txt or .json, '' for none; Failed if it is no UTF-8."""
    if member and member.size > MAX_TEXT_BYTES:
        raise Failed(
            f"{name}: its .json or .txt has {member.size:,} bytes, and {MAX_TEXT_BYTES:,} are read",
            reason="text too large",
        )
    try:
        return member.text.decode("utf-8-sig") if member else ""
    except UnicodeDecodeError as error:
        raise Failed(f"{name}: its text is not UTF-8: {error}", reason="not UTF-8") from error


def _field(name: str, fields: Mapping[str, Any], column: str) -> str:
    """Return a field as text on one line, '' for null; Failed for a list or an object."""
    value = fields[column]
    if isinstance(value, list | dict):
        raise Failed(
            f"{name}: {column!r} is no text but a {type(value).__name__}: name another field with "
            "--column",
            reason="no text",
        )
    return "" if value is None else one_line(str(value))


def _sample_key(member: str) -> str:
    """Return the name of a sample: the path up to the first dot of the file's name."""
    folder, slash, name = member.rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"


def _expanded(given: str) -> Iterator[str]:
    """Yield the addresses that braces and globs stand for; UsageError for a path without file."""
    if match := BRACES.search(given):
        first, last = match.groups()
        for number in range(int(first), int(last) + 1):
            digits = str(number).zfill(len(first))
            yield from _expanded(given[: match.start()] + digits + given[match.end() :])
    elif "://" in given:
        yield given
    elif Path(given).is_file():
        yield str(Path(given).absolute())
    elif has_magic(given) and (found := glob(given, recursive=True)):  # noqa: PTH207
        yield from (str(Path(path).absolute()) for path in found)
    else:
        raise UsageError(f"there is no tar {given!r}")


def _names(tars: Sequence[str]) -> dict[str, str]:
    """Return the name of each tar: its public URL, or its path below the folder of all."""
    local = [tar for tar in tars if "://" not in tar]
    root = os.path.commonpath([str(Path(tar).parent) for tar in local]) if local else ""
    return {
        tar: public_url(tar) if "://" in tar else printable(os.path.relpath(tar, root))
        for tar in tars
    }
