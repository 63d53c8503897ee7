"""kill -9 in the middle of the main job, then the same command again: nothing lost, nothing twice.

Twelve kills: two in each of scan, write, caption and final pass, the rest drawn over the whole
length of a build. Each starts in an empty work folder, so the moments are independent.
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from brickfilm.engine.ledger import spend_frame
from brickfilm.engine.ledger.file import FILENAME
from tests.kit.footage import shots_bytes
from tests.kit.servers.openai import CaptionServer, ReceivedRequest, Reply, cost_usd, described

pytestmark = pytest.mark.slow

CONCURRENCY = 4
MAX_MISSES = 5
CHILD = """
import sys
from brickfilm import *
films, work, url = sys.argv[1:]
build_dataset(
    FolderSource(films), SceneSplitter(), FrameSampler(),
    GPT4oCaptioner(base_url=url, concurrency=4, max_cost_usd=5), RefusalFilter(), workdir=work)
"""


def slowly(request: ReceivedRequest) -> Reply:
    time.sleep(0.15)
    return described(request)


@pytest.fixture(scope="module")
def server() -> Iterator[CaptionServer]:
    with CaptionServer(script=slowly) as server:
        yield server


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for seed in (1, 2):
        film = shots_bytes(24, 40, 30, width=320, height=180, block=9, step=2, seed=seed)
        (folder / f"{seed}.mp4").write_bytes(film)
    return folder


@dataclass(frozen=True)
class Reference:
    """A build that nobody disturbed."""

    seconds: float
    tables: dict[str, str]
    questions: int


def start(films: Path, work: Path, server: CaptionServer, key: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "OPENAI_API_KEY": key, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", CHILD, str(films), str(work), server.url]
    return subprocess.Popen(command, env=env)


def questions(server: CaptionServer, key: str) -> list[ReceivedRequest]:
    """Return a build's requests; the server reads some of a killed one after the next began."""
    return [request for request in server.requests if f"Bearer {key}" in request.headers.values()]


def tables(work: Path) -> dict[str, str]:
    saved = sorted((work / "dataset").rglob("*.parquet"))
    return {str(p.relative_to(work)): hashlib.sha256(p.read_bytes()).hexdigest() for p in saved}


@pytest.fixture(scope="module")
def reference(
    films: Path, server: CaptionServer, tmp_path_factory: pytest.TempPathFactory
) -> Reference:
    work = tmp_path_factory.mktemp("reference")
    started = time.monotonic()
    assert start(films, work, server, "reference").wait() == 0
    return Reference(time.monotonic() - started, tables(work), len(questions(server, "reference")))


def count(work: Path, query: str) -> int:
    try:
        db = sqlite3.connect(f"file:{work / FILENAME}?mode=ro", uri=True)
        try:
            return int(db.execute(query).fetchone()[0])
        finally:
            db.close()
    except sqlite3.Error:
        return 0


def answers(work: Path, part: str) -> int:
    return count(
        work,
        "SELECT COUNT(*) FROM answers JOIN parts ON parts.digest = answers.part "
        f"WHERE parts.name = '{part}'",
    )


PHASES: dict[str, Callable[[Path], bool]] = {
    "scan": lambda w: answers(w, "Probe") > 0 and answers(w, "Drawings") < 2,
    "write": lambda w: bool(list(w.glob("clips/*.tmp"))),
    "caption": lambda w: count(w, "SELECT COUNT(*) FROM intents WHERE settled IS NULL") > 0,
    "final pass": lambda w: bool(list(w.glob(".dataset.*.tmp"))),
}


def moments(reference: Reference, seed: int, kills: int) -> list[str | float]:
    """Two for each phase by name, the rest in seconds after the start."""
    draw = random.Random(seed)
    aimed: list[str | float] = [phase for phase in PHASES for _ in range(2)]
    return aimed + [draw.uniform(0.2, reference.seconds) for _ in range(kills - len(aimed))]


def kill_at(child: subprocess.Popen[bytes], moment: str | float, work: Path) -> str:
    """Kill when the moment has come; gives the phases that were under way."""
    started = time.monotonic()
    while child.poll() is None:
        come = (
            PHASES[moment](work) if isinstance(moment, str) else time.monotonic() - started > moment
        )
        if come:
            child.send_signal(signal.SIGKILL)
            child.wait()
            return "+".join(phase for phase, under_way in PHASES.items() if under_way(work))
        time.sleep(0.001)
    return "finished"


def kill_build(
    films: Path, server: CaptionServer, work: Path, moment: str | float
) -> tuple[str, str]:
    """Kill a new build at a moment; return its key and the phases that were under way.

    A busy machine can miss a phase that ends within milliseconds: it is tried again.
    """
    for _ in range(MAX_MISSES):
        shutil.rmtree(work, ignore_errors=True)
        key = secrets.token_hex(8)
        phases = kill_at(start(films, work, server, key), moment, work)
        if not isinstance(moment, str) or moment in phases.split("+"):
            break
    return key, phases


def run_kills(
    films: Path, server: CaptionServer, reference: Reference, work: Path, seed: int, kills: int
) -> Counter[str]:
    print(f"seed {seed}, an undisturbed build takes {reference.seconds:.1f} s")
    seen: Counter[str] = Counter()
    for moment in moments(reference, seed, kills):
        key, phases = kill_build(films, server, work, moment)
        kept, open_intents = (
            answers(work, "GPT4oCaptioner"),
            count(work, "SELECT COUNT(*) FROM intents WHERE settled IS NULL"),
        )
        print(f"killed at {moment}: {phases or 'between'}, {kept} captions kept")
        seen.update(phases.split("+"))
        assert start(films, work, server, f"{key} again").wait() == 0
        before, after = questions(server, key), questions(server, f"{key} again")
        assert tables(work) == reference.tables
        assert len(after) == reference.questions - kept  # no committed answer was asked again
        assert len(before) - kept <= CONCURRENCY  # at most what was in flight was lost
        spend = spend_frame(work)
        bill = sum(cost_usd(request, described(request)) for request in before + after)
        assert spend.settled.sum() <= bill + 1e-9
        assert bill <= spend.settled.sum() + spend.unsettled.sum() + 1e-9
        assert open_intents <= CONCURRENCY
    return seen


def test_a_kill_at_any_moment_loses_nothing(
    films: Path, server: CaptionServer, reference: Reference, tmp_path: Path
) -> None:
    seed = int(os.environ.get("KILL_SEED", time.time_ns() % 10_000))
    seen = run_kills(films, server, reference, tmp_path / "work", seed, kills=12)
    assert all(seen[phase] >= 2 for phase in PHASES), seen


@pytest.mark.soak
def test_eighty_kills_lose_nothing(
    films: Path, server: CaptionServer, reference: Reference, tmp_path: Path
) -> None:
    run_kills(films, server, reference, tmp_path / "work", time.time_ns() % 10_000, kills=80)
