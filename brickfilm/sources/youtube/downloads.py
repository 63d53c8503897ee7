"""What is being fetched this moment, film by film, for people to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from brickfilm.records import Listing

MAX_TITLE_LENGTH = 32


class ActiveDownloads:
    """Threads write it as bytes come; whoever shows progress reads it."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self.shown_warnings: set[str] = set()
        """Warnings that people have had; once is enough."""

    @contextmanager
    def track(self, listing: Listing) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """A progress hook for one film; its line goes when the block ends, however it ends."""
        title = (listing.title or listing.source_id)[-MAX_TITLE_LENGTH:]

        def on_bytes(status: Mapping[str, Any]) -> None:
            self._lines[listing.source_id] = f"{title} {_progress(status)}"

        try:
            yield on_bytes
        finally:
            self._lines.pop(listing.source_id, None)

    def lines(self) -> list[str]:
        """A line a film."""
        return list(self._lines.values())


def _progress(status: Mapping[str, Any]) -> str:
    here = status.get("downloaded_bytes") or 0
    whole = status.get("total_bytes") or status.get("total_bytes_estimate")
    share = f"{here / whole:.0%} of {whole / 1e6:.1f} MB" if whole else f"{here / 1e6:.1f} MB"
    speed = status.get("speed")
    return f"{share} at {speed / 1e6:.1f} MB/s" if speed else share
