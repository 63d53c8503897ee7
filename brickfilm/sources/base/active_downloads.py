"""Track downloads in progress, for the progress display."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from brickfilm.records import Listing

MAX_TITLE_LENGTH = 32


class ActiveDownloads:
    """Progress lines of active downloads, written by download threads."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self.shown_warnings: set[str] = set()
        """Warnings that were logged already, to log each once."""

    @contextmanager
    def track(self, listing: Listing) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Yield a progress hook of yt-dlp's form for one video; its line ends with the block."""
        title = (listing.title or listing.source_id)[-MAX_TITLE_LENGTH:]

        def on_bytes(status: Mapping[str, Any]) -> None:
            self._lines[listing.source_id] = f"{title} {_progress(status)}"

        try:
            yield on_bytes
        finally:
            self._lines.pop(listing.source_id, None)

    def lines(self) -> list[str]:
        """Return one line for each active download."""
        return list(self._lines.values())


def _progress(status: Mapping[str, Any]) -> str:
    received = status.get("downloaded_bytes") or 0
    total = status.get("total_bytes") or status.get("total_bytes_estimate")
    megabytes = f"{received / 1e6:.1f} MB"
    progress = f"{received / total:.0%} of {total / 1e6:.1f} MB" if total else megabytes
    speed = status.get("speed")
    return f"{progress} at {speed / 1e6:.1f} MB/s" if speed else progress
