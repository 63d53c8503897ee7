"""The lock of a shard, between machines that know neither clock nor process of each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from brickfilm.engine.heartbeat import STALE_SECONDS, Owner, heartbeat_lock
from brickfilm.errors import WorkdirBusy, WorkdirUnusable

HOLD = """
import sys, time
from pathlib import Path
from brickfilm.engine.heartbeat import heartbeat_lock
with heartbeat_lock(Path(sys.argv[1]), beat_seconds=0.05):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(path: Path, owner: Owner, *, age: float = 0.0) -> None:
    """Leave the lock of a process of another machine, renewed `age` seconds ago."""
    path.write_text(json.dumps(asdict(owner)))
    os.utime(path, (time.time() - age, time.time() - age))


def elsewhere() -> Owner:
    return Owner(host="node7", pid=os.getpid(), boot="another boot")


def test_a_lock_is_held_renewed_and_released(tmp_path: Path) -> None:
    path = tmp_path / "0-of-2.lock"
    with heartbeat_lock(path, beat_seconds=0.01):
        os.utime(path, (0, 0))
        with pytest.raises(WorkdirBusy, match=f"process {os.getpid()} on .* wait for it"):
            deadline = time.monotonic() + 30
            while path.stat().st_mtime == 0 and time.monotonic() < deadline:
                time.sleep(0.01)
            with heartbeat_lock(path, take_over=True):
                raise AssertionError("two processes hold it")
    assert not list(tmp_path.iterdir())


def test_a_living_owner_keeps_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    hold(path, elsewhere(), age=STALE_SECONDS - 30)
    with (
        pytest.raises(WorkdirBusy, match=r"on node7, which was there 5[0-9][0-9] s ago"),
        heartbeat_lock(path, take_over=True),
    ):
        raise AssertionError
    assert Owner.read(path)


def test_a_silent_owner_loses_the_lock_where_the_user_says_so(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    hold(path, elsewhere(), age=STALE_SECONDS + 60)
    with pytest.raises(WorkdirBusy, match=r"11 minutes ago.*--take-over"), heartbeat_lock(path):
        raise AssertionError
    with heartbeat_lock(path, take_over=True):
        assert Owner.read(path).pid == os.getpid()
    assert not list(tmp_path.iterdir())


def test_a_process_of_this_machine_that_has_ended_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    hold(path, Owner(pid=child.pid))
    with heartbeat_lock(path):
        assert Owner.read(path).pid == os.getpid()


def test_a_file_that_was_not_written_whole_is_somebodys(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text('{"host": "no')
    with pytest.raises(WorkdirBusy, match="another process"), heartbeat_lock(tmp_path / "lock"):
        raise AssertionError


def test_an_owner_that_lost_its_lock_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "held\n"
        hold(tmp_path / "new", elsewhere())
        (tmp_path / "new").rename(path)
        assert child.wait(60) == 1
        assert "taken over by process" in child.stderr.read()
    assert Owner.read(path).host == "node7"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(WorkdirUnusable, match="cannot be written"),
        heartbeat_lock(tmp_path / "file" / "lock"),
    ):
        raise AssertionError
