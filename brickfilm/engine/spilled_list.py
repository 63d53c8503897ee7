"""A list whose older items are on disk: of clips, rows and results a build may have a million."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar, overload

from brickfilm.files import disk_errors

T = TypeVar("T")

CHUNK = 2000
"""Items that stay in memory, about 5 MB of clips; smaller builds never write a file."""


class SpilledList(Sequence[T], Generic[T]):
    """A list to append to and to read in order; all but its last items are in a temporary file.

    Items are pickled, so a loop may get equal copies: a change of one is lost. The file has no
    name, and is gone with the list. Raise WorkdirUnusable if the disk is full.

    folder: where the file is made; it must exist. digest: of an item, as a number.
    """

    def __init__(
        self,
        folder: Path,
        items: Iterable[T] = (),
        *,
        chunk: int = CHUNK,
        digest: Callable[[T], int] | None = None,
    ) -> None:
        self.digest = 0 if digest else None
        """Sum of the items' digests, whatever their order."""
        self._digest_of = digest
        self._folder = folder
        self._chunk = chunk
        self._file: BinaryIO | None = None
        self._places: list[tuple[int, int]] = []
        """Offset and size of each chunk in the file."""
        self._last: list[T] = []
        self.extend(items)

    def append(self, item: T) -> None:
        """Add an item at the end."""
        if len(self._last) == self._chunk:
            self._spill()
        self._last.append(item)
        if self._digest_of:
            self.digest = (self.digest or 0) + self._digest_of(item)

    def extend(self, items: Iterable[T]) -> None:
        """Add items at the end."""
        for item in items:
            self.append(item)

    def _spill(self) -> None:
        """Write the items in memory to the file."""
        with disk_errors(self._folder):
            file = self._file or tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            content = pickle.dumps(self._last, pickle.HIGHEST_PROTOCOL)
            end = sum(self._places[-1]) if self._places else 0
            file.write(content)
            file.flush()
        self._file = file
        self._places.append((end, len(content)))
        self._last = []

    def _read(self, number: int) -> list[T]:
        """Return a chunk; the one after the last is in memory."""
        if number == len(self._places):
            return self._last
        assert self._file is not None
        offset, size = self._places[number]
        chunk: list[T] = pickle.loads(os.pread(self._file.fileno(), size, offset))
        return chunk

    def __len__(self) -> int:
        return len(self._places) * self._chunk + len(self._last)

    def __iter__(self) -> Iterator[T]:
        return self._from(0)

    def _from(self, start: int) -> Iterator[T]:
        """Yield the items from a position on."""
        first, skip = divmod(start, self._chunk)
        chunks = (self._read(n) for n in range(first, len(self._places) + 1))
        return islice(chain.from_iterable(chunks), skip, None)

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            if step < 0:
                return list(self)[at]
            return list(islice(self._from(start), 0, max(0, stop - start), step))
        number, place = divmod(range(len(self))[at], self._chunk)
        return self._read(number)[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list
