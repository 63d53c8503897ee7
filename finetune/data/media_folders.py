"""Read media without a table: files beside captions of the same name, and WebDataset tars."""

from __future__ import annotations

import hashlib
import json
import logging
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from brickfilm.files import parse_json
from brickfilm.schema.tar_headers import MAX_TEXT_BYTES, CheckedTar
from finetune.data.parse_row import Place, first_column, parse_row
from finetune.data.rows import (
    CAPTION_COLUMNS,
    FILE,
    TAR_MEMBER,
    DatasetRow,
    Stamp,
    file_stamp,
)
from finetune.errors import BadSample, DataError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".gif")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MEDIA_SUFFIXES = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaptionedFolder:
    """A folder of media files, each with its caption in a .txt file of the same name."""

    folder: Path
    media: tuple[Path, ...]

    def stamps(self) -> list[Stamp]:
        digest = hashlib.sha256()
        for media in self.media:
            for file in filter(Path.is_file, (media, media.with_suffix(".txt"))):
                digest.update(json.dumps(file_stamp(file)).encode())
        return [[f"media in {self.folder}", len(self.media), digest.hexdigest()]]

    def rows(self) -> Iterator[DatasetRow | BadSample]:
        for media in self.media:
            text = media.with_suffix(".txt")
            try:
                caption = _decode_text(text.read_bytes()) if text.is_file() else ""
            except UnicodeDecodeError as error:
                yield BadSample(f"{text} is not UTF-8 ({error.reason}): convert it")
                continue
            yield parse_row({"caption": caption}, Place(str(media), FILE, FILE, str(media)))


@dataclass
class _TarSample:
    """The members of one key."""

    key: str
    media: tuple[str, int] | None = None  # name, and block of the header
    captions: dict[str, Any] = field(default_factory=dict)  # by suffix of their member
    problem: str = ""


@dataclass(frozen=True)
class TarShard:
    """A tar of a WebDataset: members that share a name up to the suffix are one sample."""

    file: Path

    def stamps(self) -> list[Stamp]:
        return [file_stamp(self.file)]

    def rows(self) -> Iterator[DatasetRow | BadSample]:
        """Yield a row for each sample with media; raise DataError if the tar is damaged."""
        try:
            with self.file.open("rb") as file, CheckedTar(fileobj=file) as tar:
                yield from (self._parse(s) for s in self._samples(tar) if s.media)
                self._check_end(tar.offset)
        except (tarfile.TarError, OSError) as error:
            raise DataError(
                f"{self.file} cannot be read ({error}): build or download it again"
            ) from error

    def _check_end(self, offset: int) -> None:
        """Raise TarError unless the members end at a mark of the end, as `tarfile` does not."""
        with self.file.open("rb") as stream:
            stream.seek(offset)
            block = stream.read(tarfile.BLOCKSIZE)
        if any(block):
            raise tarfile.ReadError(f"no header at byte {offset:,}")
        if not block:
            log.warning("%s has no mark of its end: it may have been cut short", self.file)

    def _parse(self, sample: _TarSample) -> DatasetRow | BadSample:
        assert sample.media
        name, block = sample.media
        place = Place(str(self.file), TAR_MEMBER, block, f"{name} in {self.file}")
        if sample.problem:
            return BadSample(f"{place.name}: {sample.problem}")
        caption = sample.captions.get(".txt", sample.captions.get(".json"))
        return parse_row({"caption": caption}, place)

    def _samples(self, tar: tarfile.TarFile) -> Iterator[_TarSample]:
        sample: _TarSample | None = None
        for member in tar:
            if not member.isfile():
                continue
            path = PurePosixPath(member.name)
            key = str(path.parent / path.name.partition(".")[0])
            if sample is None or sample.key != key:
                if sample:
                    yield sample
                sample = _TarSample(key)
            self._add(sample, tar, member, path.suffix.lower())
        if sample:
            yield sample

    def _add(
        self, sample: _TarSample, tar: tarfile.TarFile, member: tarfile.TarInfo, suffix: str
    ) -> None:
        if suffix in MEDIA_SUFFIXES:
            if sample.media and suffix in IMAGE_SUFFIXES:
                return  # the poster of a video
            block = member.offset_data // tarfile.BLOCKSIZE - 1  # the header before the content
            sample.media = (member.name, block)
        elif suffix in (".txt", ".json"):
            try:
                text = _decode_text(_text_member(tar, member))
                sample.captions[suffix] = _json_caption(text) if suffix == ".json" else text
            except ValueError as error:
                sample.problem = f"{member.name} cannot be read ({error}): correct it"


def _text_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > MAX_TEXT_BYTES:
        raise ValueError(f"it has {member.size:,} bytes, and {MAX_TEXT_BYTES:,} are read")
    content = tar.extractfile(member)
    return content.read() if content else b""


def _decode_text(content: bytes) -> str:
    return content.decode("utf-8-sig").strip()


def _json_caption(text: str) -> Any:
    """Return the caption of a sample's JSON; its other values may be of another version of it."""
    values = parse_json(text)
    if not isinstance(values, dict):
        raise ValueError(f"it holds {text[:60]!r} in the place of an object")
    return values.get(first_column(CAPTION_COLUMNS, values) or "")
