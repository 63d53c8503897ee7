"""kill -9 in the middle of ten downloads, nothing lost, nothing fetched twice.

Every kill lands while bytes flow, and after each of them the same command goes on.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from brickfilm.sources.youtube.ytdlp import BLOCK_BYTES
from tests.kit.footage import film_bytes
from tests.kit.servers.videos import VideoSite, video_site
from tests.kit.youtube import fetch, videos, youtube_source

FILMS = 10
SPEED = 400_000
"""Bytes per second of one video, so that 1 MB takes two and a half seconds."""
CHILD = """
import sys
from pathlib import Path
from tests.kit.youtube import fetch, youtube_source
work, *entries = sys.argv[1:]
fetch(Path(work), youtube_source(entries, max_height=144))
"""


@pytest.fixture
def site() -> Iterator[VideoSite]:
    with video_site() as site:
        for n in range(FILMS):
            body = film_bytes(n, width=256, height=144, frames=48, crf=1)
            site.add(f"film{n}", body, speed=SPEED)
        yield site


def entries(site: VideoSite) -> list[str]:
    """List half of the videos as pages and half as plain files."""
    return [site.page(name) if n % 2 else site.file(name) for n, name in enumerate(site.videos)]


def start(work: Path, site: VideoSite) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", CHILD, str(work), *entries(site)]
    return subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)


def on_disk(work: Path, name: str) -> tuple[int, bool]:
    """Return the bytes of a video's `.part` file, and whether the video is complete."""
    found = [p for p in work.glob(f"sources/*{name}[-.]*") if p.suffix != ".json"]
    parts = [path.stat().st_size for path in found if path.suffix == ".part"]
    return max(parts, default=0), any(path.suffix == ".mp4" for path in found)


def kill_while_bytes_flow(
    child: subprocess.Popen[bytes], site: VideoSite, after: int, deadline: float = 60.0
) -> bool:
    """Kill the child after a response of `after` bytes; return False if it ended before."""
    until = time.monotonic() + deadline
    while time.monotonic() < until:
        if any(sent >= after for _, sent in list(site.flowing.values())):
            child.send_signal(signal.SIGKILL)
            child.wait()
            return True
        if child.poll() is not None:
            return False
        time.sleep(0.002)
    raise AssertionError("no bytes came")


@pytest.mark.parametrize(
    "kills",
    [pytest.param(6, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.soak)],
)
def test_kills_lose_nothing_and_fetch_nothing_twice(
    tmp_path: Path, site: VideoSite, kills: int
) -> None:
    rng = random.Random(3)
    resumed = 0
    for _ in range(kills):
        before = {name: on_disk(tmp_path, name) for name in site.videos}
        site.hits.clear()
        child = start(tmp_path, site)
        assert kill_while_bytes_flow(child, site, after=rng.randrange(30_000, 300_000))
        check_requests(site, before)
        resumed += any(hit.start for hit in site.hits)
        while site.flowing:  # until the site notices the closed connections
            time.sleep(0.01)
    before = {name: on_disk(tmp_path, name) for name in site.videos}
    site.hits.clear()
    whole = videos(fetch(tmp_path, youtube_source(entries(site), max_height=144)))
    check_requests(site, before)
    assert [(tmp_path / film.path).read_bytes() for film in whole] == [
        site.videos[film.source_id.split("/")[-1].removesuffix(".mp4")].body for film in whole
    ]
    assert len(whole) == FILMS
    assert resumed > kills / 2  # else the checks above checked little
    assert not list(tmp_path.glob("sources/*.part"))


def check_requests(site: VideoSite, before: dict[str, tuple[int, bool]]) -> None:
    """Check that complete videos are not requested, and others from the end of their `.part`."""
    for name, (size, whole) in before.items():
        starts = [hit.start for hit in site.requests_for(name)]
        assert not (whole and starts), f"{name} was complete, and requested again"
        assert all(start >= size - BLOCK_BYTES for start in starts), (name, size, starts)
