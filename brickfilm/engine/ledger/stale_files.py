"""What a process that was killed had begun to write: clips, stills, tables, questions to be sent.

Whoever holds the work folder's lock may take it away. Unswept it would outlast a removal, and every
kill would cost the disk a dataset.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from brickfilm.files import recover_folders

TEMP_FILE_SUFFIX = re.compile(r"\.(?P<pid>\d+)\.tmp$")
"""Drafts are named after the process that writes them."""
BATCH_REQUEST_FILES = "jobs/*.jsonl"
"""Sent while they are written; a job that is open is looked up at the service, not here."""


def delete_stale_temp_files(work: Path) -> None:
    """Delete the drafts of processes that are no more, in the folder and in those right below."""
    recover_folders(work)
    for path in [path for depth in ("*", "*/*", "*/*/*") for path in work.glob(f"{depth}.tmp")]:
        match = TEMP_FILE_SUFFIX.search(path.name)
        if match and not _is_alive(int(match["pid"])):
            _delete(path)
    for path in work.glob(BATCH_REQUEST_FILES):
        _delete(path)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
