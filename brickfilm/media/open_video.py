"""Open a video, be it a file or numbered stills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from brickfilm.media.decode import VideoReader
from brickfilm.media.still_reader import StillReader
from brickfilm.media.still_sequence import StillSequence


@contextmanager
def open_video(
    path: Path, *, threads: int = 2, conversions: Sequence[str] | None = None
) -> Iterator[VideoReader]:
    """Open a video and close it on exit: containers left to the garbage collector hang workers.

    conversions: of the `Video`; those of fields change which frames there are.
    """
    kind = StillReader if StillSequence.at(path) else VideoReader
    reader = kind(path, threads, conversions or ())
    try:
        yield reader
    finally:
        reader.close()
