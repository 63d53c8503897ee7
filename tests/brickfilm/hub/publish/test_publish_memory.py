"""Pushing takes the memory of a shard, however many clips there are."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from brickfilm.dataset import configs_from_rows, save_configs
from brickfilm.dataset.rows import clip_row
from brickfilm.records import Clip, Span
from tests.kit.servers.hub import HubServer
from tests.kit.toy_dataset import HEIGHT, WIDTH, toy_video

CLIP_BYTES = 400_000
SHARD_MB = 64
PUSH = r"""
import re, sys
from pathlib import Path
from brickfilm.hub.publish import PushOptions, push_to_hub
options = PushOptions(repo_id=sys.argv[2], shard_bytes=int(sys.argv[3]) << 20)
done = push_to_hub(sys.argv[1], options)
shards = sum(file.name.startswith("clips/") for file in done.files)
print(shards, re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""


def bulky_dataset(work: Path, clips: int) -> None:
    """A saved dataset whose videos are random bytes: what a push carries, nothing else."""
    film = toy_video(work, 0)
    rows = []
    for n in range(clips):
        span = Span(start_frame=n * 20, end_frame=n * 20 + 20, start_pts=n, end_pts=n + 20)
        clip = Clip(video=film, span=span, path=Path(f"clips/{n}.mp4"), width=WIDTH, height=HEIGHT)
        path = work / f"clips/{n}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = os.urandom(CLIP_BYTES)
        path.write_bytes(content)
        rows.append(clip_row(replace(clip, sha256=hashlib.sha256(content).hexdigest())))
    save_configs(configs_from_rows(rows, [], {film.id: "train"}, work), work / "dataset")
    shutil.rmtree(work / "clips")


def peak_of_push(work: Path, repo: str) -> tuple[int, int]:
    """(shards of clips, peak memory in KiB) of a push in a process of its own.

    Not `ru_maxrss`, which begins with the memory of the process that started it.
    """
    words = [sys.executable, "-c", PUSH, str(work), repo, str(SHARD_MB)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return int(told[-2]), int(told[-1])


@pytest.mark.slow
def test_a_thousand_clips_take_little_more_memory_than_two_hundred(
    hub: HubServer, tmp_path: Path
) -> None:
    peaks = {}
    for clips in (200, 1000):
        bulky_dataset(tmp_path / str(clips), clips)
        shards, peaks[clips] = peak_of_push(tmp_path / str(clips), f"maker/x{clips}")
        fewest = -(-clips * CLIP_BYTES // (SHARD_MB << 20))
        assert fewest <= shards <= fewest + 1
        shutil.rmtree(tmp_path / str(clips))
    print(f"peak memory, MiB: { ({n: kib // 1024 for n, kib in peaks.items()}) }")
    assert peaks[1000] <= 1.2 * peaks[200]
