"""Delete temporary files of killed processes: clips, stills, tables and batch requests.

Left alone they would outlast a removal request, and every kill would cost disk space.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from brickfilm.files import recover_folders

TEMP_FILE_SUFFIX = re.compile(r"\.(?P<pid>\d+)\.tmp$")
"""Temporary files are named after the process that writes them."""
TEMP_FILES = (".*.tmp", "*/.*.tmp", "*/*/.*.tmp", "clips/*.tmp", "stills/*.tmp")
"""As `files.temp_path` names them, and, in folders of ours, as earlier versions did."""
BATCH_REQUEST_FILES = "jobs/*.jsonl"
"""Uploaded while they are written; an open job is looked up at the service, not here."""
UNNAMED_REMOVAL_DRAFTS = "dataset/*/*.parquet.tmp"
"""Removals of earlier versions did not name their drafts after the process. They held the lock."""


def delete_stale_temp_files(work: Path) -> None:
    """Delete temporary files of dead processes, and recover a folder whose replacement was killed.

    Call it only with the work folder locked.
    """
    recover_folders(work)
    delete_temp_files_of_dead_processes(work)
    for pattern in (BATCH_REQUEST_FILES, UNNAMED_REMOVAL_DRAFTS):
        for path in work.glob(pattern):
            _delete(path)


def delete_temp_files_of_dead_processes(folder: Path) -> None:
    """Delete temporary files and folders of ended processes, down to two folders below."""
    for path in [path for pattern in TEMP_FILES for path in folder.glob(pattern)]:
        match = TEMP_FILE_SUFFIX.search(path.name)
        if match and not _is_alive(int(match["pid"])):
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
