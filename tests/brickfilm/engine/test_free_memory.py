from __future__ import annotations

import gc
import platform
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from brickfilm.engine.calls import work_item_of
from brickfilm.engine.executors import WorkerState
from brickfilm.engine.free_memory import FreeMemory, rare_collections, return_free_memory
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.records import Listing

BLOCK, BLOCKS = 4000, 20_000


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def no_automatic_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def resident_bytes() -> int:
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1]) * 1024


def blocks_of_a_thread() -> bytes:
    """Allocate 80 MB in the arena of a thread, free them, and return the last, which pins them."""
    last: list[bytes] = []

    def fill() -> None:
        blocks = [bytes([n % 256]) * BLOCK for n in range(BLOCKS)]
        last.append(blocks[-1])

    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
    return last[0]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has malloc_trim")
def test_free_memory_of_a_thread_returns_to_the_system() -> None:
    last = blocks_of_a_thread()
    before = resident_bytes()
    return_free_memory()
    assert before - resident_bytes() > BLOCK * BLOCKS / 2
    assert len(last) == BLOCK


@pytest.mark.usefixtures("no_automatic_collection")
def test_cycles_are_collected_after_seconds_of_calls_and_not_after_each() -> None:
    free_memory, cycle = FreeMemory(seconds_between=2), Cycle()
    alive = weakref.ref(cycle)
    del cycle
    for _ in range(3):
        free_memory.after(0.5)
        assert alive()
    free_memory.after(0.5)
    assert not alive()
    alive = weakref.ref(Cycle())
    free_memory.after(1.5)
    assert alive()


@pytest.mark.usefixtures("no_automatic_collection")
def test_young_cycles_are_collected_though_many_records_make_collections_rare() -> None:
    records, seconds = [[n] for n in range(200_000)], 1e-6
    free_memory, old = FreeMemory(seconds_between=seconds), Cycle()
    free_memory.after(seconds)
    alive, old_alive = weakref.ref(Cycle()), weakref.ref(old)
    del old
    free_memory.after(seconds)
    assert [alive() is None, old_alive() is None, len(records)] == [True, False, 200_000]


@dataclass(frozen=True, kw_only=True)
class LeavesCycle(Stage[Listing, Listing]):
    """Leaves a cycle behind, as PyAV's containers do."""

    input_types = (Listing,)
    pool: str = "process"
    alive: list[weakref.ref[Cycle]] = field(default_factory=list, compare=False)

    @property
    def resources(self) -> Resources:
        return Resources(pool=self.pool, concurrency=1)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        def compute(item: Listing) -> Answer:
            self.alive.append(weakref.ref(Cycle()))
            return {}

        yield compute


@pytest.mark.usefixtures("no_automatic_collection")
@pytest.mark.parametrize(("pool", "is_collected"), [("process", True), ("thread", False)])
def test_calls_that_compute_return_memory_and_calls_that_wait_do_not(
    pool: str, is_collected: bool, tmp_path: Path
) -> None:
    state, stage = WorkerState(FreeMemory(seconds_between=0)), LeavesCycle(pool=pool)
    item = work_item_of(stage, Listing(source_id="film"))
    state.run_batch("name", stage, tmp_path, [item])
    assert (stage.alive[0]() is None) == is_collected


def test_collections_are_rare_for_a_while() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), rare_collections():
        assert gc.get_threshold() > before
        raise KeyError
    assert gc.get_threshold() == before
