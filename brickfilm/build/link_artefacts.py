"""Share files of work folders by hard links: they are written once, and replaced as a whole."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from brickfilm.files import temp_path

NO_LINK_ERRNOS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)
NOT_LINKED = ("dataset", "jobs", "shards", "start")
"""Folders of a work folder that each build writes for itself."""


def link_artefacts(source: Path, target: Path) -> None:
    """Link the clips, stills and downloads of a work folder into another one.

    Files beside these folders, hidden ones and what is no regular file, links included, are left
    out: the folder may be a stranger's. A file that `target` has already is replaced if it is
    older. Between two file systems files are copied.
    """
    for folder, folders, names in os.walk(source):
        place = Path(folder).relative_to(source)
        folders[:] = [n for n in folders if not n.startswith(".") and n not in NOT_LINKED]
        if not place.parts:
            continue
        (target / place).mkdir(parents=True, exist_ok=True)
        for name in names:
            if not name.startswith(".") and _is_regular(Path(folder, name)):
                _link_newer(Path(folder, name), target / place / name)


def _is_regular(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def _link_newer(source: Path, target: Path) -> None:
    """Link a file to a second name, unless that has the same or a newer file."""
    if target.exists() and (
        target.samefile(source) or target.stat().st_mtime >= source.stat().st_mtime
    ):
        return
    temporary = temp_path(target)
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError as error:
        if error.errno not in NO_LINK_ERRNOS:
            raise
        shutil.copy2(source, temporary)
    temporary.replace(target)
