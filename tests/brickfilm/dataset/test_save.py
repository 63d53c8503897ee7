"""A kill while a saved dataset is replaced leaves the old or the new one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from brickfilm.dataset.reader import find_dataset
from tests.kit.toy_dataset import toy_dataset

KILL_AT_RENAME = """
import os, signal, sys
from pathlib import Path
from tests.kit.toy_dataset import toy_dataset

work, target, left = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
dataset = toy_dataset(work, videos=1, clips=2)

def kill_at_event(event, args):
    global left
    if event in ("os.rename", "shutil.rmtree") and "dataset" in str(args[0]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill_at_event)
dataset.save(target)
"""


@pytest.mark.slow
def test_a_kill_while_saving_leaves_a_whole_dataset(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    sizes: list[int] = []
    for events in range(20):
        toy_dataset(tmp_path / "old", videos=1, clips=1).save(target)
        command = [sys.executable, "-c", KILL_AT_RENAME, tmp_path / "new", target, str(events)]
        code = subprocess.run(command, check=False).returncode
        sizes.append(len(find_dataset(target).to_pandas("clips", ["id"])))
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert code == 0
    assert sizes == sorted(sizes)  # once the new one is there it stays
    assert set(sizes) == {1, 2}
    assert len(sizes) >= 5
