"""One executor for several builds, in a program that has workers of its own."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from brickfilm.engine.calls import work_item_of
from brickfilm.engine.executors import LocalExecutor
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.records import Listing
from tests.kit.toy_stages import lines, note


@dataclass(frozen=True, kw_only=True)
class Asks(Stage[Listing, Listing]):
    """Asks at an address, which says how and not what; each opening is written down."""

    input_types = (Listing,)
    log: Path = field(compare=False)
    address: str = field(default="first", compare=False)
    pool: str = field(default="thread", compare=False)
    concurrency: int = field(default=1, compare=False)
    meeting: threading.Barrier | None = field(default=None, compare=False)

    @property
    def resources(self) -> Resources:
        return Resources(pool=self.pool, concurrency=self.concurrency)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        note(self.log, self.address)

        def compute(item: Listing) -> Answer:
            if self.meeting:
                self.meeting.wait()
            return {"from": self.address}

        yield compute


def asked(executor: LocalExecutor, stage: Asks, work: Path) -> object:
    work_item = work_item_of(stage, Listing(source_id="film"))
    (result,) = executor.submit(stage, work, [work_item]).result(60).results
    return result[stage.digest]["from"]


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    executor = LocalExecutor(processes=1)
    yield executor
    executor.close(now=True)


@pytest.mark.parametrize("pool", ["thread", "process"])
def test_another_address_is_asked_where_the_executor_outlives_a_build(
    executor: LocalExecutor, tmp_path: Path, pool: str
) -> None:
    log = tmp_path / "opened"
    first = Asks(log=log, pool=pool)
    second = Asks(log=log, pool=pool, address="second")
    assert first.digest == second.digest
    answers = [asked(executor, stage, tmp_path) for stage in (first, first, second, second)]
    assert answers == ["first", "first", "second", "second"]
    assert lines(log) == ["first", "second"]  # opened once, however often it is asked


def test_workers_keep_open_what_an_equal_stage_of_the_next_build_asks(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    for _ in range(2):
        asked(executor, Asks(log=tmp_path / "opened", pool="process"), tmp_path)
    assert lines(tmp_path / "opened") == ["first"]


def test_another_width_is_kept_to(executor: LocalExecutor, tmp_path: Path) -> None:
    narrow = Asks(log=tmp_path / "opened")
    asked(executor, narrow, tmp_path)
    wide = replace(narrow, concurrency=3, meeting=threading.Barrier(3, timeout=30))
    work_item = work_item_of(wide, Listing(source_id="film"))
    calls = [executor.submit(wide, tmp_path, [work_item]) for _ in range(3)]
    assert all(call.result(60).results for call in calls)  # a broken barrier raises


def test_closing_at_once_ends_no_process_of_anybody_else(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    stage = Asks(log=tmp_path / "opened", pool="process")
    before = set(multiprocessing.active_children())
    asked(executor, stage, tmp_path)
    (its_own,) = set(multiprocessing.active_children()) - before
    mine = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    mine.start()
    other = LocalExecutor(processes=1)
    asked(other, stage, tmp_path)
    executor.close(now=True)
    assert wait([its_own.sentinel], timeout=30)  # the pool may reap it, is_alive() races with that
    assert mine.is_alive()
    assert asked(other, stage, tmp_path) == "first"
    other.close()
    mine.kill()
