"""Limits of the system that a user can raise, which are no damage of what was read or written."""

from __future__ import annotations

import errno

REMEDIES = {
    errno.EMFILE: "raise the limit of open files with `ulimit -n 1024`",
    errno.ENFILE: "close other programs, or raise the system's limit of open files",
    errno.ENOSPC: "make room, or write the output elsewhere",
    errno.EDQUOT: "make room, or write the output elsewhere",
}


def remedy_of_limit(error: BaseException) -> str:
    """Return what a user can do about an error that is a limit of the system; '' for another."""
    return REMEDIES.get(error.errno or 0, "") if isinstance(error, OSError) else ""
