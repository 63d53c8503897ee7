"""Atomic files, folders replaced under SIGKILL, locks, and workers that exit with their parent."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from brickfilm.files import (
    atomic_write,
    lock_file,
    recover_folder,
    recover_folders,
    replace_folder,
    temp_path,
)

KILL_AT_EVENT = """
import os, signal, sys
from pathlib import Path
from brickfilm.files import replace_folder

work, left = Path(sys.argv[1]), int(sys.argv[2])

def kill_at_event(event, args):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "open"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill_at_event)
replace_folder(work / "draft", work / "target")
"""
STOP_BETWEEN_RENAMES = """
import sys
from pathlib import Path
from brickfilm.files import replace_folder

def stop_between(event, args):
    if event == "os.rename" and Path(args[0]).name == "draft":
        print("between", flush=True)
        sys.stdin.read()

sys.addaudithook(stop_between)
replace_folder(Path(sys.argv[1], "draft"), Path(sys.argv[1], "target"))
"""
ORPHAN = """
import multiprocessing, os, sys, time
from brickfilm.files import exit_with_parent

def work(started):
    exit_with_parent()
    print(os.getpid(), flush=True)
    started.set()
    time.sleep(600)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    context.Process(target=work, args=(started,)).start()
    started.wait()
    os.kill(os.getpid(), 9)
"""


def put(folder: Path, content: str) -> Path:
    for name in ("a", "inner/b"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def content_of(folder: Path) -> set[str]:
    """Return the contents of the two files of a folder made by `put`."""
    return {(folder / name).read_text() for name in ("a", "inner/b")}


def is_running(process: Path) -> bool:
    """Return whether a process, given by its folder in /proc, has not ended."""
    try:
        return "\nState:\tZ" not in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_error_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "file") as stream:
        stream.write(b"old")
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "file") as stream:
        stream.write(b"new")
        raise ZeroDivisionError
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_mapped_file_keeps_its_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with (tmp_path / "file").open("rb") as opened:
        with atomic_write(tmp_path / "file") as stream:
            stream.write(b"new")
        assert opened.read() == b"old"
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("has_old", [True, False], ids=["over an old folder", "first time"])
def test_a_kill_at_any_step_leaves_one_folder_complete(tmp_path: Path, has_old: bool) -> None:
    """Kill before each rename, open and delete in turn, until the call completes."""
    found = []
    for events in range(100):
        work = tmp_path / str(events)
        put(work / "draft", "new")
        if has_old:
            put(work / "target", "old")
        command = [sys.executable, "-c", KILL_AT_EVENT, str(work), str(events)]
        code = subprocess.run(command, check=False).returncode
        recover_folder(work / "target")
        complete = work / "target" if (work / "target").exists() else work / "draft"
        found.append(content_of(complete))
        if has_old:
            assert complete.name == "target"
        recover_folders(work)
        assert {path.name for path in work.iterdir()} <= {"target", "draft"}
        replace_folder(put(work / "draft", "again"), work / "target")
        assert content_of(work / "target") == {"again"}
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert found[-1] == {"new"}
    assert all(len(content) == 1 for content in found)
    if has_old:
        assert {"old"} in found and found.index({"new"}) > found.index({"old"})
        assert code == 0 and len(found) > 8  # several steps before and after the renames


@pytest.mark.parametrize("is_killed", [False, True])
def test_recovery_waits_for_a_replacement_that_is_not_dead(tmp_path: Path, is_killed: bool) -> None:
    put(tmp_path / "target", "old")
    put(tmp_path / "draft", "new")
    command = [sys.executable, "-c", STOP_BETWEEN_RENAMES, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "between\n"
        reader = threading.Thread(target=recover_folder, args=(tmp_path / "target",))
        reader.start()
        reader.join(0.2)
        assert reader.is_alive()
        assert not (tmp_path / "target").exists()
        if is_killed:
            writer.kill()
        writer.communicate()
        reader.join()
    assert writer.returncode == (-signal.SIGKILL if is_killed else 0)
    assert content_of(tmp_path / "target") == {"old" if is_killed else "new"}


def test_recovery_leaves_what_is_complete(tmp_path: Path) -> None:
    put(tmp_path / "target", "new")
    put(tmp_path / ".target.replaced", "old")
    recover_folder(tmp_path / "target")
    assert content_of(tmp_path / "target") == {"new"}
    recover_folders(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_lock_names_its_holder(tmp_path: Path) -> None:
    def hold(path: Path) -> None:
        with lock_file(path, busy=BlockingIOError, unwritable=lambda error: error):
            pass

    with (
        lock_file(tmp_path / "new" / "lock", busy=RuntimeError, unwritable=lambda error: error),
        pytest.raises(BlockingIOError, match=r"^process \d+ on "),
    ):
        hold(tmp_path / "new" / "lock")
    hold(tmp_path / "new" / "lock")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        hold(tmp_path / "file" / "lock")


def test_a_worker_exits_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = Path("/proc", parent.stdout.readline().strip())
    assert parent.wait() == -signal.SIGKILL
    until = time.monotonic() + 30
    while is_running(worker):
        assert time.monotonic() < until, "the worker outlives its parent"
        time.sleep(0.05)


def test_a_temporary_name_says_which_process_writes(tmp_path: Path) -> None:
    assert temp_path(tmp_path / "a.mp4").match(".a.mp4.[0-9]*.tmp")
