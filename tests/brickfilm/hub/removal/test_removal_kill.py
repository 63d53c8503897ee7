"""A removal killed while it rewrites a shard: its draft goes, and the next removal completes it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from brickfilm.dataset.reader import find_dataset
from brickfilm.engine.ledger import Ledger
from brickfilm.hub.removal import RemovalRequest, remove
from tests.kit.toy_dataset import toy_dataset

pytestmark = pytest.mark.slow

REMOVE = """
import os, signal, sys
from brickfilm.dataset import rewrite
from brickfilm.hub.removal import RemovalRequest, remove
rewrite.commit_file = lambda draft, path: os.kill(os.getpid(), signal.SIGKILL)
remove(sys.argv[1], RemovalRequest("source", "src0"))
"""


def killed_removal(work: Path) -> list[Path]:
    """Kill a removal before it renames its first draft; return the drafts."""
    done = subprocess.run([sys.executable, "-c", REMOVE, str(work)], check=False)
    assert done.returncode == -signal.SIGKILL
    return list(work.rglob("*.tmp"))


def test_the_next_build_deletes_the_draft(tmp_path: Path) -> None:
    toy_dataset(tmp_path, videos=3, clips=1)
    (draft,) = killed_removal(tmp_path)
    assert draft.parent == tmp_path / "dataset" / "clips"
    with Ledger(tmp_path):
        assert not draft.exists()


@pytest.mark.parametrize("has_ledger", [True, False])
def test_the_next_removal_deletes_the_draft_and_completes(tmp_path: Path, has_ledger: bool) -> None:
    toy_dataset(tmp_path, videos=3, clips=1)
    if not has_ledger:
        (tmp_path / "ledger.sqlite").unlink()
    assert len(killed_removal(tmp_path)) == 1
    remove(tmp_path, RemovalRequest("source", "src0"))
    assert not list(tmp_path.rglob("*.tmp"))
    assert set(find_dataset(tmp_path).to_pandas("clips", ["source_id"]).source_id) == {
        "src1",
        "src2",
    }
