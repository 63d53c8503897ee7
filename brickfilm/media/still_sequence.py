"""Find the numbered stills of a folder that belong together as the frames of a video."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self

from brickfilm.errors import MediaError
from brickfilm.media.container import check_size
from brickfilm.media.still_pixels import display_size

NUMBERED_STEM = re.compile(r"(?P<before>.*?)(?P<number>\d+)(?P<after>\D*)", re.DOTALL)
MAX_MISSING_SHARE = 0.1
"""Share of missing numbers above which they are no frame numbers."""


@dataclass(frozen=True)
class StillSequence:
    """Numbered stills of one folder; `path` is that of its files with `%d` for the number."""

    path: Path

    @classmethod
    def of(cls, still: Path) -> Self | None:
        """Return the sequence that a file belongs to by its name; None without a number."""
        match = NUMBERED_STEM.fullmatch(still.stem)
        if match is None:
            return None
        before, after = (match[name].replace("%", "%%") for name in ("before", "after"))
        return cls(still.with_name(f"{before}%d{after}{still.suffix.lower()}"))

    @classmethod
    def at(cls, path: Path) -> Self | None:
        """Return the sequence that a path stands for; None if it is that of a file."""
        is_pattern = "%d" in path.name.replace("%%", "") and not path.exists()
        return cls(path) if is_pattern else None

    @cached_property
    def files(self) -> list[tuple[int, Path]]:
        """Return the stills with their numbers, in order; raise MediaError for a number twice."""
        files: dict[int, Path] = {}
        for file in sorted(self.path.parent.iterdir()):
            if StillSequence.of(file) == self and file.is_file():
                number = int(NUMBERED_STEM.fullmatch(file.stem)["number"])  # type: ignore[index]
                if number in files:
                    raise MediaError(
                        f"{files[number].name!r} and {file.name!r} have the same number: "
                        "keep one of them"
                    )
                files[number] = file
        if not files:
            raise MediaError(f"{self.path.name!r} has no stills any more")
        return sorted(files.items())

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Return the missing numbers, as ranges [first, last]."""
        numbers = [number for number, _ in self.files]
        return [(a + 1, b - 1) for a, b in pairwise(numbers) if b > a + 1]

    def check(self, max_pixels: int) -> tuple[int, int]:
        """Return the stills' common width and height; raise MediaError if they are no sequence."""
        self._check_numbers()
        return self._common_size(max_pixels)

    def _common_size(self, max_pixels: int) -> tuple[int, int]:
        first = self.files[0][1]
        sizes = ((file, display_size(file)) for _, file in self.files)
        common = display_size(first)
        check_size(self.path.name, *common, max_pixels)
        for file, size in sizes:
            if size != common:
                raise MediaError(
                    f"{self.path.name!r} mixes sizes: {first.name!r} is {common[0]} x {common[1]}, "
                    f"{file.name!r} is {size[0]} x {size[1]}: scale them to one size, or give each "
                    "size a folder of its own"
                )
        return common

    def _check_numbers(self) -> None:
        missing = sum(last - first + 1 for first, last in self.gaps)
        if missing > MAX_MISSING_SHARE * len(self.files):
            first, last = self.gaps[0]
            raise MediaError(
                f"{self.path.name!r} lacks {missing} numbers among {len(self.files)} stills "
                f"(first {first} to {last}): add the missing stills, or number the files 1, 2, 3 .."
            )
