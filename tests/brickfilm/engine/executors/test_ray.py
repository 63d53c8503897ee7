"""A build on a Ray cluster of two nodes on one host, where workers, a node and the driver die."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from brickfilm.engine.executors import LocalExecutor, RayExecutor
from brickfilm.engine.executors.ray.cluster import answer_probe, check_shared_folder
from brickfilm.engine.executors.ray.executor import call_limit, runs_in_driver
from brickfilm.engine.ledger import Ledger
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.run import PipelineRun
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.errors import UsageError, WorkerDied
from brickfilm.records import Clip
from tests.kit.toy_capabilities import Copy
from tests.kit.toy_stages import Cut, Names, Say, lines, note, video

SETTINGS = {"include_dashboard": False, "object_store_memory": 80 * 2**20}


@dataclass(frozen=True)
class Slow(Stage[Clip, Clip]):
    """Note the node and process that works on a clip, and wait for a file of the test."""

    log: Path = field(compare=False)
    gate: Path = field(compare=False)
    input_types = (Clip,)

    @property
    def resources(self) -> Resources:
        return Resources(pool="process", concurrency=0)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Clip], Answer]]:
        import ray

        def compute(item: Clip) -> Answer:
            node = ray.get_runtime_context().get_node_id()
            note(self.log, f"{item.id} {node} {os.getpid()}")
            while not self.gate.exists():
                time.sleep(0.05)
            return {}

        yield compute

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        yield item


@dataclass(frozen=True)
class Few(Stage[Clip, Clip]):
    """Allow so many calls at a time; 0 means one for each CPU."""

    concurrency: int

    @property
    def resources(self) -> Resources:
        return Resources(pool="process", concurrency=self.concurrency)


def run(work: Path, names: list[str], executor: Any, *stages: Stage[Any, Any]) -> PipelineRun:
    source = Names(names)
    with Ledger(work) as ledger:
        run = PipelineRun(Pipeline.from_stages(source, stages), ledger, executor)
        run.execute(source.items())
    return run


def outcome(run: PipelineRun) -> list[tuple[Any, ...]]:
    results = [(r.position, r.item, r.status, r.reason) for r in run.item_results]
    return sorted(results) + sorted(clip.id for clip in run.finished)


def test_what_waits_or_pays_stays_in_the_driver(tmp_path: Path) -> None:
    assert runs_in_driver(Say())
    assert runs_in_driver(Copy(log=tmp_path))
    assert runs_in_driver(Cut(pool="thread"))
    assert not runs_in_driver(Cut(pool="process"))


def test_a_worker_has_a_second_call_ready_if_the_stage_allows_it(tmp_path: Path) -> None:
    limits = {n: Few(concurrency=n) for n in (0, 1, 3, 4, 8)}
    assert {n: call_limit(stage, 4) for n, stage in limits.items()} == {
        0: 8,
        1: 1,
        3: 3,
        4: 8,
        8: 8,
    }
    assert call_limit(Copy(log=tmp_path), 4) == Copy(log=tmp_path).resources.concurrency


def test_a_node_says_what_it_sees_of_the_work_folder(tmp_path: Path) -> None:
    probe = tmp_path / ".probe"
    assert answer_probe(str(probe), "token") == "No such file or directory"
    probe.write_text("of another machine")
    assert answer_probe(str(probe), "token") == "it sees another file there"
    probe.write_text("token")
    assert answer_probe(str(probe), "token") == ""
    assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of two CPUs each, whose processes see this clone."""
    pytest.importorskip("ray", reason="no ray: pip install 'brickfilm[ray]'")
    before = dict(os.environ)
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    start_node(cluster)
    try:
        yield cluster
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)


def start_node(cluster: Any) -> Any:
    """Add a node of two CPUs; Ray gives each attempt 30 seconds, too few on a busy machine."""
    for _ in range(4):
        try:
            return cluster.add_node(num_cpus=2, **SETTINGS)
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
    return pytest.skip("no node of Ray started within 30 s, four times: the machine is too busy")


@pytest.mark.slow
def test_a_cluster_builds_what_one_machine_builds(cluster: Any, tmp_path: Path) -> None:
    names = ["a", "b", "killer", "broken", "unwanted", "c"]
    log = tmp_path / "log"
    stages = (Cut(log=log, pool="process"), Say())
    local = LocalExecutor(processes=2)
    alone = run(tmp_path / "local", names, local, *stages)
    local.close()
    log.unlink()
    executor = RayExecutor(cluster.address)
    try:
        shared = run(tmp_path / "ray", names, executor, *stages)
        again = run(tmp_path / "ray", names, executor, *stages)
    finally:
        executor.close()
    assert outcome(shared) == outcome(alone)
    assert {r.reason for r in shared.item_results if r.item == video("killer").id} >= {
        WorkerDied.default_reason
    }
    assert outcome(again) == outcome(alone)
    counts = {name: lines(log).count(video(name).id) for name in names}
    assert counts == {"a": 1, "b": 1, "c": 1, "broken": 2, "unwanted": 1, "killer": 4}


@pytest.mark.slow
def test_a_node_that_dies_costs_only_what_it_held(cluster: Any, tmp_path: Path) -> None:
    log, gate, node = tmp_path / "log", tmp_path / "gate", start_node(cluster)
    executor = RayExecutor(cluster.address)
    slow = Slow(log=log, gate=gate)
    name = node.node_id
    with Ledger(tmp_path / "work") as ledger:
        source = Names(["a", "b"])
        run = PipelineRun(Pipeline.from_stages(source, [Cut(pieces=4), slow]), ledger, executor)
        killed = []

        class Watch:
            def update(self, queues: Any, item_results: Any) -> None:
                if not killed and any(name in line for line in lines(log)):
                    killed.append(name)
                    cluster.remove_node(node, allow_graceful=False)
                    wait_for_end([line for line in lines(log) if name in line])
                    gate.touch()

        run.progress = Watch()
        run.execute(source.items())
    executor.close()
    assert killed
    assert len(run.finished) == 8
    assert {r.status for r in run.item_results} == {"done"}
    started = [line.split()[0] for line in lines(log)]
    held = {line.split()[0] for line in lines(log) if name in line}
    assert held == {item for item in started if started.count(item) > 1}


@pytest.mark.slow
def test_a_node_that_dies_during_the_check_of_the_folder_is_left_out(
    cluster: Any, tmp_path: Path
) -> None:
    executor = RayExecutor(cluster.address)
    import ray

    answers = [[{"NodeID": "0" * 56, "NodeManagerAddress": "192.0.2.9", "Alive": True}]]

    class WithNodeThatDied:
        """Ray, whose first list of nodes holds one that is gone at the second."""

        def nodes(self) -> Any:
            return [*ray.nodes(), *(answers.pop() if answers else [])]

        def __getattr__(self, name: str) -> Any:
            return getattr(ray, name)

    try:
        check_shared_folder(WithNodeThatDied(), tmp_path)
    finally:
        executor.close()
    assert not answers
    assert not list(tmp_path.iterdir())


DRIVER = """
import sys
from pathlib import Path
from brickfilm.engine.executors import RayExecutor
from tests.brickfilm.engine.executors.test_ray import Slow, run
from tests.kit.toy_stages import Cut
work, log, gate, address = sys.argv[1:]
executor = RayExecutor(address)
run(Path(work), ["a", "b"], executor, Cut(pieces=2), Slow(log=Path(log), gate=Path(gate)))
"""


@pytest.mark.slow
def test_a_driver_that_dies_takes_its_workers_with_it(cluster: Any, tmp_path: Path) -> None:
    log, gate, work = tmp_path / "log", tmp_path / "gate", tmp_path / "work"
    words = [str(work), str(log), str(gate), cluster.address]
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, *words])
    until(lambda: len(lines(log)) == 2 or driver.poll() is not None)
    assert driver.poll() is None
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_for_end(lines(log))
    gate.touch()
    subprocess.run([sys.executable, "-c", DRIVER, *words], check=True, timeout=300)
    with Ledger(work) as ledger:
        executor = LocalExecutor(processes=1)
        source = Names(["a", "b"])
        stages = [Cut(pieces=2), Slow(log=log, gate=gate)]
        run = PipelineRun(Pipeline.from_stages(source, stages), ledger, executor)
        run.execute(source.items())
        executor.close()
    assert len(run.finished) == 4
    assert len(lines(log)) == 2 + 4  # the two that the driver held, and all four


def wait_for_end(noted: list[str]) -> None:
    """Wait until the processes that wrote these lines have ended."""
    pids = {int(line.split()[2]) for line in noted}
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'brickfilm\[ray\]'"):
        RayExecutor()


def test_an_address_where_nobody_listens_is_an_error_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))  # nothing of Ray is called
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(UsageError, match=rf"no Ray cluster at '{address}' .*refused"):
        RayExecutor(address)
