"""Index a dataset's rows as memory-mapped arrays, with constant look-up time.

`clips.npy` holds one fixed-size record per row, `strings.bin` the captions and file names. Rows
without a caption and unreadable rows are skipped and counted; no pixels are read.
"""

from __future__ import annotations

import hashlib
import json
import logging
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from brickfilm.digest import with_digest, without_digest
from brickfilm.files import atomic_write, parse_json
from brickfilm.schema.system_limits import remedy_of_limit
from finetune.data.array_files import map_array
from finetune.data.readers import find_sources
from finetune.data.rows import DatasetRow, Stamp, file_stamp
from finetune.errors import BadSample, DataError
from finetune.progress import ProgressLines

log = logging.getLogger(__name__)

INDEX_VERSION = 2
ABOUT_FILE, CLIPS_FILE, STRINGS_FILE = "index.json", "clips.npy", "strings.bin"
DRAWING_FILES = ("drawings.npy", "drawing_ends.npy")  # which earlier versions did not write
MAX_ROWS_NAMED = 20  # unreadable ones, in the log
Row = DatasetRow | BadSample
CLIP_DTYPE = np.dtype(
    [
        ("sha256", "u1", 32),
        ("frames", "<i4"),
        ("height", "<i4"),
        ("width", "<i4"),
        ("fps_num", "<i8"),
        ("fps_den", "<i8"),
        ("group", "<i4"),
        ("place", "<i4"),
        ("caption", "<i8", 2),  # start and size in strings.bin
        ("file", "<i8", 2),
    ]
)


@dataclass(frozen=True)
class Index:
    """An opened index; `clips` and `strings` are memory maps, shared by all processes."""

    clips: NDArray[np.void]
    strings: NDArray[np.uint8]
    fingerprint: str  # sha256 over digests, captions and sizes, in order
    uncaptioned: int
    unreadable: int
    stamps: tuple[Stamp, ...] = ()  # of the files that were indexed
    drawings: NDArray[np.int32] | None = None  # first frames of drawings, of all rows in order
    drawing_ends: NDArray[np.int64] | None = None  # [N] of each row's in `drawings`

    def __len__(self) -> int:
        return len(self.clips)

    def row(self, number: int) -> DatasetRow:
        """Return the row of this number."""
        clip = self.clips[number]
        return DatasetRow(
            sha256=clip["sha256"].tobytes(),
            caption=self._text(clip["caption"]),
            frames=int(clip["frames"]),
            fps=Fraction(int(clip["fps_num"]), int(clip["fps_den"])),
            height=int(clip["height"]),
            width=int(clip["width"]),
            file=self._text(clip["file"]),
            row_group=int(clip["group"]),
            row_in_group=int(clip["place"]),
            drawings=self._drawings(number),
        )

    @property
    def drawing_counts(self) -> NDArray[np.int64]:
        """Return the number of drawings of each row [N], 0 where they were not measured."""
        if self.drawing_ends is None:
            return np.zeros(len(self), np.int64)
        return np.diff(self.drawing_ends, prepend=0)

    def _drawings(self, number: int) -> tuple[int, ...]:
        if self.drawings is None or self.drawing_ends is None:
            return ()
        start = self.drawing_ends[number - 1] if number else 0
        return tuple(self.drawings[start : self.drawing_ends[number]].tolist())

    def check_unchanged(self, file: str) -> None:
        """Raise DataError if a table or tar is no longer the one that was indexed.

        The rows' places in it may be others' now. Media files are compared by their digests.
        """
        for stamp in self.stamps:
            if stamp[0] == file and stamp != _stamp_or_none(file):
                raise DataError(
                    f"{file} changed during the run: start again with --resume auto to read it "
                    "anew, or put the old file back"
                )

    def _text(self, span: NDArray[np.int64]) -> str:
        start, size = span
        return self.strings[start : start + size].tobytes().decode()

    @classmethod
    def open(cls, folder: Path, *, verify: bool = False) -> Self:
        """Open an index written by `build_index`; raise DataError if it cannot be read.

        verify: compare its files with their digests, as `build_index` does.
        """
        try:
            if verify and not _read_intact(folder):
                raise ValueError("its digests are of another content")
            about = without_digest(parse_json((folder / ABOUT_FILE).read_bytes()))
            clips = map_array(folder / CLIPS_FILE)
            strings = np.memmap(folder / STRINGS_FILE, dtype=np.uint8, mode="r")
            counts = about["uncaptioned"], about["unreadable"]
            names = DRAWING_FILES if _has_drawings(about) else ()
            drawings = [map_array(folder / name) for name in names]
            stamps = tuple(about["stamp"] or ())
            return cls(clips, strings, about["fingerprint"], *counts, stamps, *drawings)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if remedy_of_limit(error):
                raise
            raise DataError(
                f"the index of the dataset in {folder} is damaged ({error}): delete it, and run "
                "the command again"
            ) from error


def _has_drawings(about: Mapping[str, Any]) -> bool:
    return DRAWING_FILES[0] in about.get("files", {})


def _stamp_or_none(file: str) -> Stamp | None:
    try:
        return file_stamp(Path(file))
    except OSError:
        return None


def build_index(dataset: str, folder: Path, *, drawings: bool = False) -> Index:
    """Index a dataset in `folder`; open an existing index of the same files unchanged.

    drawings: write one anew that was made before drawings were indexed. So is a damaged one. Media
    of unknown size are opened one by one, which may take long: it says so.
    """
    with ProgressLines("indexing the dataset"):
        return _build_index(dataset, folder, drawings=drawings)


def _build_index(dataset: str, folder: Path, *, drawings: bool) -> Index:
    sources = find_sources(dataset)
    stamp = [stamp for source in sources for stamp in source.stamps()]
    if (folder / ABOUT_FILE).exists():
        existing = _read_intact(folder)
        if not existing:
            log.warning("the index of the dataset in %s is damaged, and written anew", folder)
        elif drawings and not _has_drawings(existing):
            log.info("the index in %s has no drawings, and is written anew", folder)
        elif existing.get("stamp") == stamp and existing.get("version") == INDEX_VERSION:
            return Index.open(folder)
    rows = (row for source in sources for row in source.rows())
    return write_index(rows, folder, stamp=stamp)


def _read_intact(folder: Path) -> dict[str, Any]:
    """Return what is written about an index; {} unless its files are as they were written."""
    try:
        about = without_digest(parse_json((folder / ABOUT_FILE).read_bytes()))
        written = about.get("files", {})  # none in indexes of earlier versions
        return about if all(_file_digest(folder / n) == d for n, d in written.items()) else {}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_index(rows: Iterable[Row], folder: Path, *, stamp: object = None) -> Index:
    """Write rows as an index, `index.json` last: without it the folder is no index.

    Files are replaced, never modified, so that processes with an open index keep the old one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = folder / ABOUT_FILE
    with (
        atomic_write(folder / STRINGS_FILE) as strings,
        atomic_write(folder / CLIPS_FILE) as clips,
        atomic_write(folder / DRAWING_FILES[0]) as drawings,
        atomic_write(folder / DRAWING_FILES[1]) as ends,
    ):
        summary = _write_rows(rows, strings, clips, (drawings, ends))
        about.unlink(missing_ok=True)
    names = (CLIPS_FILE, STRINGS_FILE, *DRAWING_FILES)
    files = {name: _file_digest(folder / name) for name in names}
    content = {"version": INDEX_VERSION, "stamp": stamp, **summary, "files": files}
    with atomic_write(about) as stream:
        stream.write(json.dumps(with_digest(content)).encode())
    return Index.open(folder)


def _write_rows(
    rows: Iterable[Row], strings: BinaryIO, clips: BinaryIO, drawing_files: Sequence[BinaryIO]
) -> dict[str, object]:
    """Write the rows that have a caption; return the skipped counts and the fingerprint."""
    drawings, ends = array("i"), array("q")
    digest, uncaptioned, unreadable, first_problem = hashlib.sha256(), 0, 0, ""
    records: list[NDArray[np.void]] = []
    file_spans: dict[str, tuple[int, int]] = {}

    def put(text: str) -> tuple[int, int]:
        start, encoded = strings.tell(), text.encode()
        strings.write(encoded)
        return start, len(encoded)

    for row in rows:
        if isinstance(row, BadSample):
            unreadable += 1
            first_problem = first_problem or str(row)
            if unreadable <= MAX_ROWS_NAMED:
                log.warning("skipped: %s", row)
            continue
        if not row.caption.strip():
            uncaptioned += 1
            continue
        if row.file not in file_spans:
            file_spans = {row.file: put(row.file)}  # rows are grouped by file
        records.append(_clip_record(row, put(row.caption), file_spans[row.file]))
        digest.update(records[-1].tobytes()[:60] + row.caption.encode())
        drawings.extend(row.drawings)
        ends.append(len(drawings))
    strings.write(b"\n")  # an empty file cannot be memory-mapped
    if not records:
        if unreadable and not uncaptioned:
            raise DataError(f"none of {unreadable} rows can be read; the first: {first_problem}")
        raise DataError(
            f"{uncaptioned + unreadable} rows, of which {unreadable} cannot be read, and not one "
            "has a caption: build the dataset with a captioner, or name another dataset"
        )
    if unreadable > MAX_ROWS_NAMED:
        log.warning("skipped: %s more rows that cannot be read", unreadable - MAX_ROWS_NAMED)
    np.save(clips, np.concatenate(records))
    for file, numbers in zip(drawing_files, (drawings, ends), strict=True):
        np.save(file, np.asarray(numbers))
    return {
        "uncaptioned": uncaptioned,
        "unreadable": unreadable,
        "fingerprint": digest.hexdigest(),
    }


def _clip_record(
    row: DatasetRow, caption: tuple[int, int], file: tuple[int, int]
) -> NDArray[np.void]:
    record = np.zeros(1, dtype=CLIP_DTYPE)
    record["sha256"] = np.frombuffer(row.sha256, dtype=np.uint8)
    record["caption"], record["file"] = caption, file
    record["frames"], record["height"], record["width"] = row.frames, row.height, row.width
    record["group"], record["place"] = row.row_group, row.row_in_group
    record["fps_num"], record["fps_den"] = row.fps.numerator, row.fps.denominator
    return record
