"""The whole content of a folder, with times: equal only if nothing was written or deleted."""

from __future__ import annotations

from pathlib import Path

Snapshot = dict[str, tuple[bytes | None, int]]


def snapshot(folder: Path) -> Snapshot:
    """Return the bytes and the time of change of every file and folder below a folder."""
    return {
        str(p.relative_to(folder)): (p.read_bytes() if p.is_file() else None, p.stat().st_mtime_ns)
        for p in sorted((folder, *folder.rglob("*")))
    }
