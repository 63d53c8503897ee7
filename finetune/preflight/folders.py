"""Write and read files in the run's shared folders, from every node."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from brickfilm.files import sync_path
from finetune.planning.cost import GIB
from finetune.preflight.ranks import Ranks

PROBE_MIB = 64
APPEARS_SECONDS = 5.0
"""Time for a new file to be seen by another client of a network file system."""


@dataclass(frozen=True, kw_only=True)
class FolderProbe:
    """A node's view of a folder of the recipe."""

    key: str  # of the recipe
    folder: str
    node: int
    visible: bool
    problem: str = ""  # of a write or a read
    write_mib_s: float = 0.0
    read_mib_s: float = 0.0  # of a file that another node wrote
    free_gib: float = 0.0


def probe_folder(ranks: Ranks, key: str, folder: Path) -> list[FolderProbe]:
    """Return every node's probe of a folder; every rank must call.

    Rank 0 makes the folder; a node that does not see it then lacks the mount. Nothing is left.
    """
    probe = _Probe(ranks, key, folder)
    created = probe.create() if ranks.rank == 0 else []
    mark = probe.mark
    try:
        probe.mark = ranks.gather(f"make {folder}", mark)[0]
        if ranks.is_first_of_node:
            probe.write()
        ranks.gather(f"write {folder}")
        if ranks.is_first_of_node:
            probe.read()
        found = ranks.gather(f"read {folder}", probe.result() if ranks.is_first_of_node else None)
    finally:
        if ranks.rank == 0:
            _delete(mark, created)
    return [result for result in found if result is not None]


def _delete(mark: Path, created: Sequence[Path]) -> None:
    shutil.rmtree(mark, ignore_errors=True)
    for parent in created:
        with suppress(OSError):
            parent.rmdir()


class _Probe:
    def __init__(self, ranks: Ranks, key: str, folder: Path) -> None:
        self._key, self._folder, self._ranks = key, folder, ranks
        self.mark = folder / f".preflight-{os.getpid()}-{time.time_ns()}"
        self._problem, self._visible, self._write, self._read = "", False, 0.0, 0.0

    def create(self) -> list[Path]:
        """Make the folder and the probe's own one; return its new parents, innermost first."""
        new = [path for path in (self._folder, *self._folder.parents) if not path.exists()]
        try:
            self.mark.mkdir(parents=True)
        except OSError as error:
            self._problem = f"{self._folder} cannot be created ({error.strerror})"
        return new

    def write(self) -> None:
        end = time.monotonic() + APPEARS_SECONDS
        while not (visible := self.mark.is_dir()) and time.monotonic() < end and not self._problem:
            time.sleep(0.1)
        self._visible = visible
        if not visible:
            return
        content, file = os.urandom(2**20), self._file(self._ranks.node)
        begin = time.perf_counter()
        try:
            with file.open("wb") as stream:
                for _ in range(PROBE_MIB):
                    stream.write(content)
            sync_path(file)
            self._write = PROBE_MIB / (time.perf_counter() - begin)
            _forget(file)
        except OSError as error:
            self._problem = f"{PROBE_MIB} MiB cannot be written there ({error.strerror})"

    def read(self) -> None:
        """Read the file of the next node, or of this one if it is alone."""
        if not self._visible or self._problem:
            return
        nodes = list(self._ranks.of_nodes)
        file = self._file(nodes[(nodes.index(self._ranks.node) + 1) % len(nodes)])
        if not _appears(file):
            return  # that node has a problem of its own
        begin, size = time.perf_counter(), 0
        with suppress(OSError), file.open("rb") as stream:
            while part := stream.read(2**20):
                size += len(part)
        if size:
            self._read = size / 2**20 / (time.perf_counter() - begin)

    def result(self) -> FolderProbe:
        free = 0.0
        with suppress(OSError):
            free = shutil.disk_usage(self._folder).free / GIB
        return FolderProbe(
            key=self._key,
            folder=str(self._folder),
            node=self._ranks.node,
            visible=self._visible,
            problem=self._problem,
            write_mib_s=self._write,
            read_mib_s=self._read,
            free_gib=free,
        )

    def _file(self, node: int) -> Path:
        return self.mark / f"node-{node}.bin"


def _appears(file: Path) -> bool:
    end = time.monotonic() + APPEARS_SECONDS
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.1)
    return file.exists()


def _forget(file: Path) -> None:
    """Drop a flushed file from this node's page cache, so that reading it asks the disk."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)
