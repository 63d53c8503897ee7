"""The write-ahead log is for file systems of one machine; elsewhere there is none."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from brickfilm.engine.ledger import Ledger, answers_frame, file
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.engine.ledger.local_folder import is_local

MOUNTS = """\
overlay / overlay rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
tmpfs /home/me/scratch tmpfs rw 0 0
mds@o2ib:/lus /lus\\040tre lustre rw,flock 0 0
host /mnt/share 9p rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "local"),
    [
        ("/var/work", True),
        ("/home", False),
        ("/home/me/work", False),
        ("/home/me/scratch/work", True),
        ("/homely/work", True),
        ("/lus tre/work", False),
        ("/mnt/share/work", False),
    ],
)
def test_the_nearest_mount_decides(folder: str, local: bool) -> None:
    assert is_local(Path(folder), MOUNTS) is local


def test_this_machines_mounts_are_read(tmp_path: Path) -> None:
    assert isinstance(is_local(tmp_path), bool)
    assert is_local(tmp_path, "")


def test_a_shared_folder_has_no_write_ahead_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "is_local", lambda folder: False)
    with Ledger(tmp_path) as ledger:
        with ledger.transaction():
            ledger.register_parts([])
            ledger.put("part", "key", {"text": "kept"})
        assert not (tmp_path / f"{FILENAME}-wal").exists()
        answers_frame(tmp_path)  # while a build has it open
    with closing(sqlite3.connect(tmp_path / FILENAME)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    with Ledger(tmp_path) as ledger:
        assert ledger.get("part", "key") == {"text": "kept"}


def test_readers_of_a_shared_folder_see_what_a_running_build_has_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brickfilm.engine.ledger import unknown_cost

    monkeypatch.setattr(file, "is_local", lambda folder: False)
    with Ledger(tmp_path) as ledger:
        assert unknown_cost(tmp_path) == (0, 0.0)
        ledger.reserve("Say", "part", "key", 2.0)
        assert unknown_cost(tmp_path) == (1, 2.0)
