"""Open the work folder of a build: ours alone, and unchanged by a dry run."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from brickfilm.build.plan_file import FILENAME as PLAN
from brickfilm.engine.build_shard import SHARDS_FOLDER, check_unsharded, find_shards
from brickfilm.engine.ledger import Ledger, answered_parts
from brickfilm.engine.ledger.file import FILENAME, LEDGER_FILES, LOCK_FILENAME
from brickfilm.engine.ledger.frames import check_readable
from brickfilm.engine.pipeline import Source
from brickfilm.errors import UsageError, WorkdirBusy
from brickfilm.files import check_own_folder
from brickfilm.sources import FolderSource

BUILD_FILES = {*LEDGER_FILES, PLAN}
"""Files that a build writes before its first video."""
MARKS = (FILENAME, LOCK_FILENAME)
"""Files by which a folder is ours; the lock stays where a user deletes a damaged ledger."""
COPIED_FILES = ("sources.lock.json", "tombstones.jsonl", "pushed.txt")
"""Files that a user may copy from another work folder before the first build."""


def check_work_folder(work: Path, source: Source, *, is_merge: bool = False) -> None:
    """Raise UsageError if a folder holds others' files: neither a ledger nor only the footage.

    Only a merge works in the folder of a build in shards.
    """
    if not is_merge:
        check_unsharded(work)
    paths = source.paths if isinstance(source, FolderSource) else ()
    absolute = [Path(path).absolute() for path in paths]
    inside = [path.relative_to(work.absolute()) for path in absolute if _is_below(path, work)]
    own = (*COPIED_FILES, SHARDS_FOLDER, *(path.parts[0] for path in inside))
    check_own_folder(work, MARKS, own)


def answered(work: Path) -> set[str]:
    """Return the digests of the parts that have answers; none of an empty or damaged ledger."""
    with suppress(UsageError):  # opening it for the build names the damage
        return answered_parts(work) if (work / FILENAME).is_file() else set()
    return set()


def is_new_folder(work: Path) -> bool:
    """Return True for a folder without a ledger, or in which a build was stopped at its start."""
    return not (work / FILENAME).is_file() or not ((work / PLAN).is_file() or answered(work))


def settings_folder(work: Path) -> Path:
    """Return the folder whose detector and measures a build takes: its own, if it has answers.

    A shard without takes those of the other shards, or of the whole build: shards that differ do
    not merge.
    """
    if work.parent.name != SHARDS_FOLDER:
        return work
    whole = work.parent.parent
    folders = (work, *find_shards(whole).values(), whole)
    begun = [folder for folder in folders if (folder / FILENAME).is_file()]
    return next(filter(answered, begun), begun[0] if begun else work)


@contextmanager
def open_ledger(work: Path, source: Source) -> Iterator[Ledger]:
    """Open the ledger of a work folder; raise UsageError for a folder with files of others.

    If the call is rejected with UsageError and this call created the folder, delete it again.
    """
    is_new = not work.exists()
    check_work_folder(work, source)
    with Ledger(work) as ledger:
        try:
            yield ledger
        except UsageError:
            if is_new and ledger.is_empty and {p.name for p in work.iterdir()} <= BUILD_FILES:
                shutil.rmtree(work)
            raise


@contextmanager
def open_ledger_copy(work: Path, source: Source) -> Iterator[Ledger]:
    """Open a temporary copy of the ledger, for a dry run: the work folder stays as it is."""
    check_work_folder(work, source)
    if (work / FILENAME).is_file():
        check_readable(work)
    with tempfile.TemporaryDirectory(prefix="brickfilm-") as folder:
        with _shared_lock(work):
            for name in (FILENAME, f"{FILENAME}-wal"):
                if (work / name).is_file():
                    shutil.copy(work / name, folder)
        with Ledger(Path(folder)) as ledger:
            ledger.work = work
            yield ledger


@contextmanager
def _shared_lock(work: Path) -> Iterator[None]:
    """Keep builds out while the ledger is copied; raise WorkdirBusy if one is running."""
    if not (work / LOCK_FILENAME).is_file():
        yield
        return
    with (work / LOCK_FILENAME).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = lock.read().strip() or "another process"
            raise WorkdirBusy(f"{str(work)!r} is being built by {holder}: wait for it") from None
        except OSError:  # a file system without locks
            pass
        yield


def _is_below(path: Path, folder: Path) -> bool:
    return path != folder.absolute() and path.is_relative_to(folder.absolute())
