"""Clips through a bad day: faults, timeouts, kills. Nothing is lost or paid twice.

The build runs in a process of its own, through the real client, against the scripted service.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from brickfilm.captions.stills import encode_jpeg
from brickfilm.engine.ledger import ledger_frame, spend_frame, unknown_cost
from tests.kit.captions import clip
from tests.kit.servers.openai import (
    BROKEN,
    MALFORMED,
    RATE_LIMITED,
    CaptionServer,
    LostReply,
    digest_of_stills,
    faulty,
)

IN_FLIGHT = 32
LATENCY = 0.5
TIMEOUT = 2.0
BUDGET = 40.0
SECRET = "sk-storm-0123456789-secret"
STORM = ((0.10, RATE_LIMITED), (0.05, BROKEN), (0.02, LostReply(2 * TIMEOUT)), (0.01, MALFORMED))

CHILD = """
import json, sys, time
from pathlib import Path
from brickfilm.stages import GPT4oCaptioner, RefusalFilter
from tests.kit.captions import ClipSource, run_captions

work, url, count, timeout, width, budget = sys.argv[1:]
stage = GPT4oCaptioner(base_url=url, concurrency=int(width), timeout=float(timeout),
                      total_timeout=60.0, max_cost_usd=float(budget))
album = ClipSource(int(count), Path(work))
status = Path("/proc/self/status")  # its peak is this process's own, getrusage's is inherited
memory = lambda: int(status.read_text().split("VmHWM:")[1].split()[0]) // 1024
started = time.monotonic()
run = run_captions(Path(work), album, stage, RefusalFilter())
print(json.dumps({
    "seconds": time.monotonic() - started,
    "megabytes": memory(),
    "captions": {clip.id: clip.caption.text for clip in run.finished},
    "finished": len(run.finished),
}))
"""


@contextmanager
def child(
    work: Path, server: CaptionServer, count: int, budget: float = BUDGET
) -> Iterator[subprocess.Popen[str]]:
    settings = (work, server.url, count, TIMEOUT, IN_FLIGHT, budget)
    command = [sys.executable, "-c", CHILD, *map(str, settings)]
    environment = {**os.environ, "OPENAI_API_KEY": SECRET, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(server: CaptionServer, answered: int) -> None:
    deadline = time.monotonic() + 120
    while server.answered < answered or server.in_flight == 0:
        assert time.monotonic() < deadline, f"only {server.answered} of {answered} answered"
        time.sleep(0.005)


@pytest.mark.parametrize(
    "clips",
    [pytest.param(500, marks=pytest.mark.slow), pytest.param(2000, marks=pytest.mark.soak)],
)
def test_a_storm_with_three_kills(tmp_path: Path, clips: int) -> None:
    seed = int(os.environ.get("STORM_SEED", "20261122"))
    print(f"seed {seed}")
    dice = random.Random(seed)
    moments = sorted(dice.sample(range(clips // 8, clips), 3))
    lost_at_kills = 0
    with CaptionServer(faulty(STORM, seed=seed), latency=LATENCY, width=IN_FLIGHT) as server:
        for moment in moments:
            with child(tmp_path, server, clips) as build:
                wait_for(server, moment)
                build.send_signal(signal.SIGKILL)
                lost_at_kills += server.in_flight
                assert server.in_flight > 0
            while server.in_flight:  # what was in flight is charged all the same
                time.sleep(0.05)
            assert_money(tmp_path, server)
        with child(tmp_path, server, clips) as build:
            out, problems = build.communicate(timeout=240)
        assert build.returncode == 0, problems
        result = json.loads(out)
        assert_money(tmp_path, server)
        assert_every_clip_is_accounted_for(tmp_path, clips, result["captions"])
        assert_asked_again_only_when_lost(tmp_path, server)
        assert server.invalid == []
        assert_secret(tmp_path, out + problems)
        print(
            f"{len(server.requests)} requests, {result['finished']} captions, kills at {moments} "
            f"with {lost_at_kills} in flight, bill ${server.bill:.2f}, {result['megabytes']} MB"
        )


@pytest.mark.soak
def test_a_budget_that_is_reached_holds_through_kills(tmp_path: Path) -> None:
    clips, budget = 1000, 2.0
    with CaptionServer(faulty(STORM, seed=5), latency=LATENCY, width=IN_FLIGHT) as server:
        for moment in (120, 260):
            with child(tmp_path, server, clips, budget) as build:
                wait_for(server, moment)
                build.send_signal(signal.SIGKILL)
            while server.in_flight:
                time.sleep(0.05)
            assert_money(tmp_path, server, budget)
        with child(tmp_path, server, clips, budget) as build:
            out, problems = build.communicate(timeout=240)
        assert build.returncode == 0, problems
        assert_money(tmp_path, server, budget)
    spend, finished = spend_frame(tmp_path), json.loads(out)["finished"]
    settled, unsettled = spend.settled.sum(), spend.unsettled.sum()
    print(
        f"{finished} captions, bill {server.bill:.2f}, {settled:.2f} and {unsettled:.2f} reserved"
    )
    assert 0 < finished < clips
    assert settled + unsettled > 0.99 * budget  # nothing was left that could have been sent


def assert_money(work: Path, server: CaptionServer, budget: float = BUDGET) -> None:
    spend = spend_frame(work)
    settled, unsettled = spend.settled.sum(), spend.unsettled.sum()
    assert settled <= server.bill + 1e-9
    assert server.bill <= settled + unsettled + 1e-9
    assert server.bill <= budget


def assert_every_clip_is_accounted_for(work: Path, clips: int, captions: dict[str, str]) -> None:
    outcomes = ledger_frame(work)
    ends = Counter(outcomes[outcomes.stage == "GPT4oCaptioner"].outcome)
    assert ends.total() == clips
    assert len(captions) == ends["done"] >= clips * 0.99
    for number in range(0, clips, 7):
        of = clip(number, work)
        stills = [encode_jpeg(work / s.path, size=512, quality=85) for s in of.stills]
        if of.id in captions:
            assert f"house {digest_of_stills(stills)} " in captions[of.id]


def assert_asked_again_only_when_lost(work: Path, server: CaptionServer) -> None:
    """Answers that were charged more than once: lost at a kill, timed out, or malformed.

    The ledger knows the first two: on a busy machine more requests time out than the storm loses.
    """
    paid = Counter(charge.digest for charge in server.charged)
    again = sum(paid.values()) - len(paid)
    without_response, _ = unknown_cost(work)
    assert again <= without_response + sum(charge.malformed for charge in server.charged)


def assert_secret(work: Path, output: str) -> None:
    assert SECRET not in output
    for file in work.iterdir():
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()


@pytest.mark.soak
def test_throughput_is_the_services_own_and_memory_is_flat(tmp_path: Path) -> None:
    latency = 1.0  # a real model takes longer
    limit = IN_FLIGHT / latency
    with CaptionServer(latency=latency, width=IN_FLIGHT) as server:
        results = []
        for count in (100, 700):
            with child(tmp_path / str(count), server, count) as build:
                out, problems = build.communicate(timeout=240)
            assert build.returncode == 0, problems
            results.append(json.loads(out))
    few, many = results
    rate = (700 - 100) / (many["seconds"] - few["seconds"])  # less what starting up takes
    print(f"{rate:.1f} of {limit:.0f} requests/s; {few['megabytes']} and {many['megabytes']} MB")
    assert server.max_in_flight == IN_FLIGHT
    assert rate >= 0.8 * limit
    assert many["megabytes"] < few["megabytes"] + 20
