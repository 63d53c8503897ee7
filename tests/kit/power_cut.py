"""A disk that forgets at a power cut what was not flushed: content by inode, names by folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


class FlushedDisk:
    """Record every `os.fsync` of this process; tell what a power cut would leave."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        fsync = os.fsync

        def record(handle: int) -> None:
            fsync(handle)
            path = Path(f"/proc/self/fd/{handle}").readlink()
            inode = path.stat().st_ino
            if path.is_dir():
                self._names[inode] = {p.name: p.stat().st_ino for p in path.iterdir()}
            else:
                self._contents[inode] = path.read_bytes()

        monkeypatch.setattr(os, "fsync", record)

    def after_power_cut(self, path: Path, root: Path) -> bytes | None:
        """Return the bytes of a file after a power cut now; None if its name would be gone.

        `root` is older than the power cut, and is there.
        """
        inode = root.stat().st_ino
        for name in path.relative_to(root).parts:
            found = self._names.get(inode, {}).get(name)
            if found is None:
                return None
            inode = found
        return self._contents.get(inode, b"")
