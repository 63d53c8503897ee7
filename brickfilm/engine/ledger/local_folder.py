"""Tell local file systems from shared ones, on which SQLite's write-ahead log loses data.

The log needs memory that all processes share, and locks that each of them sees
(https://sqlite.org/wal.html: it does not work over a network file system).
"""

from __future__ import annotations

import re
from pathlib import Path

LOCAL_TYPES = frozenset(
    (
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs"),
        *("tmpfs", "ramfs", "overlay", "aufs", "exfat", "vfat", "ntfs", "ntfs3"),
    )
)
"""Types of one machine's file systems, as the kernel names them; any other may be shared."""
MOUNTS = Path("/proc/self/mounts")
_OCTAL = re.compile(r"\\([0-7]{3})")


def is_local(folder: Path, mounts: str | None = None) -> bool:
    """Return True if a folder is on a file system of this machine alone.

    mounts: a table of mounts, by default the kernel's; a system without one counts as local.
    """
    if mounts is None:
        if not MOUNTS.is_file():
            return True
        mounts = MOUNTS.read_text(errors="surrogateescape")
    types = dict(_mount(line) for line in mounts.splitlines() if line.count(" ") >= 2)
    resolved = folder.resolve()
    nearest = next((p for p in (resolved, *resolved.parents) if p in types), None)
    return nearest is None or types[nearest] in LOCAL_TYPES


def _mount(line: str) -> tuple[Path, str]:
    """Return mount point and type of a line; a space in a name is written as `\\040`."""
    _, point, kind, *_ = line.split(" ")
    return Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), point)), kind
