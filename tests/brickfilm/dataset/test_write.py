"""Saving: shards of a limited size, and a folder that a kill at any step leaves complete."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from brickfilm.dataset import write_shards
from brickfilm.dataset.reader import find_dataset
from brickfilm.dataset.validate import validate
from brickfilm.errors import UsageError
from tests.kit import ROOT
from tests.kit.toy_dataset import toy_dataset

SAVE_AND_DIE = """
import os, signal, sys
from pathlib import Path
import datasets.table, huggingface_hub
from tests.kit.toy_dataset import toy_dataset

def save(work, events):
    toy_dataset(work, videos=1, clips=1)
    dataset = toy_dataset(work / "new", videos=1, clips=2)

    def kill_at_event(event, args):
        nonlocal events
        if event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
            events -= 1
            if events < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill_at_event)
    dataset.save(work / "dataset")
    os._exit(0)

for events in range(100):
    child = os.fork() or save(Path(sys.argv[1], str(events)), events)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code)
    if code == 0:
        break
"""


def test_a_split_is_cut_into_files_that_say_how_many_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brickfilm.dataset.write.ROW_GROUP_BYTES", 1)  # a row each
    rows = toy_dataset(tmp_path, videos=2, clips=3)["clips"]["train"]
    cut = write_shards(rows, tmp_path / "cut", "train", "video", [], shard_bytes=1)
    assert [file.name for file in cut] == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    assert [pq.read_table(file)["id"].to_pylist() for file in cut] == [[i] for i in rows["id"]]


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    dataset = toy_dataset(tmp_path, videos=1, clips=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.jpg").touch()
    with pytest.raises(UsageError, match=r"mine' contains files but no saved dataset"):
        dataset.save(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["photo.jpg"]


def test_a_dataset_that_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    dataset = toy_dataset(tmp_path, videos=1, clips=1)
    before = (tmp_path / "dataset").stat()
    dataset.save(tmp_path / "dataset")
    assert os.path.samestat(before, (tmp_path / "dataset").stat())


@pytest.mark.slow
def test_a_kill_at_any_step_of_a_save_leaves_the_old_or_the_new_dataset(tmp_path: Path) -> None:
    """Kill before each rename and delete in turn, until the save completes."""
    command = [sys.executable, "-c", SAVE_AND_DIE, str(tmp_path)]
    run = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    *killed, last = map(int, run.stdout.split())
    assert last == 0
    assert set(killed) == {-signal.SIGKILL}
    assert len(killed) > 6  # renames of shards and of both folders, then deletions
    rows = []
    for events in range(len(killed) + 1):
        work = tmp_path / str(events)
        saved = find_dataset(work)
        assert validate(saved, workers=1).is_valid
        rows.append(saved.num_rows("clips"))
        toy_dataset(work, videos=1, clips=3)
        assert find_dataset(work).num_rows("clips") == 3
        left = {path.name for path in work.iterdir() if path.name.startswith(".dataset")}
        assert not left
    assert rows == sorted(rows)
    assert set(rows) == {1, 2}
