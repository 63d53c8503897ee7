"""The loop: the calls it makes, their number, and the results after failures and stops."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from brickfilm.engine.executors import LocalExecutor
from brickfilm.engine.ledger import Ledger, ledger_frame, spend_frame
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.run import PipelineRun
from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import ServiceRefused, WiringError
from brickfilm.records import Clip
from brickfilm.stages import Keep
from tests.kit.toy_stages import Cut, Names, Say, lines, video


def run(
    work: Path, source: Names, *stages: Stage, dry_run: bool = False, stop_early: bool = False
) -> PipelineRun:
    executor = LocalExecutor(processes=2)
    with Ledger(work) as ledger:
        once = PipelineRun(Pipeline.from_stages(source, stages), ledger, executor, dry_run=dry_run)
        once.stopping = stop_early
        try:
            once.execute(source.items())
        finally:
            executor.close()
    return once


def item_results(once: PipelineRun) -> Counter[tuple[str, str]]:
    return Counter((o.stage, o.status) for o in once.item_results)


def test_every_clip_comes_through_once(tmp_path: Path) -> None:
    once = run(tmp_path, Names("abc"), Cut(), Say())
    assert len(once.finished) == 9
    assert len({clip.id for clip in once.finished}) == 9
    assert all(clip.caption.text == f"bricks of {clip.id}" for clip in once.finished)


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    cut, say = Cut(log=tmp_path / "cut"), Say(log=tmp_path / "say")
    first = run(tmp_path, Names("abc"), cut, say)
    again = run(tmp_path, Names("abc"), cut, say)
    assert sorted(c.id for c in again.finished) == sorted(c.id for c in first.finished)
    assert len(lines(cut.log)) == 3
    assert len(lines(say.log)) == 9


def test_a_changed_prompt_recaptions_and_cuts_nothing(tmp_path: Path) -> None:
    cut = Cut(log=tmp_path / "cut")
    run(tmp_path, Names("abc"), cut, Say("bricks"))
    again = run(tmp_path, Names("abc"), cut, Say("plates", log=tmp_path / "say"))
    assert len(lines(cut.log)) == 3
    assert len(lines(tmp_path / "say")) == 9
    assert all(clip.caption.text.startswith("plates") for clip in again.finished)


def test_one_film_under_two_names_is_asked_once(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Twins(Names):
        def items(self) -> Iterator:
            return iter([*super().items(), *super().items()])

    cut = Cut(log=tmp_path / "cut")
    once = run(tmp_path, Twins("ab"), cut)
    assert len(lines(cut.log)) == 2
    assert len(once.finished) == 12


def test_a_failure_is_tried_again_and_a_rejection_is_remembered(tmp_path: Path) -> None:
    cut = Cut(log=tmp_path / "cut")
    names = Names(["good", "broken", "unwanted"])
    for _ in range(2):
        once = run(tmp_path, names, cut)
        assert item_results(once)["Cut", "failed"] == 1
        assert item_results(once)["Cut", "rejected"] == 1
        assert len(once.finished) == 3
    asked = Counter(lines(cut.log))
    assert [asked[video(name).id] for name in names.names] == [1, 2, 1]


def test_the_reason_and_message_reach_the_frame(tmp_path: Path) -> None:
    run(tmp_path, Names(["unwanted"]), Cut())
    frame = ledger_frame(tmp_path)
    rejected = frame[frame.outcome == "rejected"].iloc[0]
    assert (rejected.reason, rejected.message) == ("unwanted", "unwanted is not wanted")
    assert rejected.seconds == 10.0


def test_a_moved_threshold_asks_nothing_upstream(tmp_path: Path) -> None:
    say = Say(log=tmp_path / "say")
    run(tmp_path, Names("ab"), Cut(), Keep("num_frames", at_most=10), say)
    assert lines(say.log) == []
    run(tmp_path, Names("ab"), Cut(), Keep("num_frames", at_most=30), say)
    assert len(lines(say.log)) == 6


def test_a_budget_is_never_passed_and_the_rest_waits(tmp_path: Path) -> None:
    say = Say(log=tmp_path / "say", max_cost_usd=0.05)
    once = run(tmp_path, Names("abc"), Cut(), say)
    spend = spend_frame(tmp_path).iloc[0]
    assert spend.settled + spend.unsettled <= 0.05
    assert len(lines(say.log)) == 4  # the fifth could cost two cents more than are left
    assert item_results(once)["Say", "waiting"] == 5
    again = run(tmp_path, Names("abc"), Cut(), Say(log=say.log, max_cost_usd=1.0))
    assert len(again.finished) == 9
    assert len(lines(say.log)) == 9


@dataclass(frozen=True)
class SayAfterLooking(Say):
    """Answer with what a second connection finds reserved while the request is on its way."""

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Clip], Answer]]:
        def compute(request: Clip) -> Answer:
            with closing(sqlite3.connect(work / FILENAME)) as db:
                query = "SELECT reserved FROM intents WHERE key = ? AND settled IS NULL"
                (reserved,) = db.execute(query, (request.id,)).fetchone() or (0.0,)
            return {"text": f"{reserved:.2f} reserved", "cost": 0.01, "model": "toy"}

        yield compute


def test_money_is_reserved_on_disk_before_the_request_is_sent(tmp_path: Path) -> None:
    once = run(tmp_path, Names("abc"), Cut(), SayAfterLooking())
    assert {clip.caption.text for clip in once.finished} == {"0.02 reserved"}
    assert len(once.finished) == 9


def test_a_request_without_an_answer_stays_reserved_and_is_asked_again(tmp_path: Path) -> None:
    say = Say(log=tmp_path / "say", lose=1)
    once = run(tmp_path, Names("a"), Cut(pieces=1), say)
    assert len(once.finished) == 1
    spend = spend_frame(tmp_path)
    assert spend.settled.sum() == pytest.approx(0.01)
    assert spend.unsettled.sum() == pytest.approx(0.02)


def test_after_three_requests_without_an_answer_the_item_failed(tmp_path: Path) -> None:
    say = Say(log=tmp_path / "say", lose=99)
    once = run(tmp_path, Names("a"), Cut(pieces=1), say)
    assert item_results(once)["Say", "failed"] == 1
    assert len(lines(say.log)) == 3


def test_work_in_processes_gives_the_same(tmp_path: Path) -> None:
    here = run(tmp_path / "a", Names("abc"), Cut())
    there = run(tmp_path / "b", Names("abc"), Cut(pool="process"))
    assert sorted(c.id for c in here.finished) == sorted(c.id for c in there.finished)


def test_an_item_that_kills_its_worker_fails_alone(tmp_path: Path) -> None:
    once = run(tmp_path, Names(["good", "killer", "fine"]), Cut(pool="process"))
    assert len(once.finished) == 6
    failed = [o for o in once.item_results if o.status == "failed"]
    assert [o.reason for o in failed] == ["worker died"]


@dataclass(frozen=True)
class Refuse(Stage[Clip, Clip]):
    error: type[Exception] = field(default=ServiceRefused, compare=False)
    input_types = (Clip,)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Clip], Answer]]:
        def compute(item: Clip) -> Answer:
            raise self.error("no")

        yield compute

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        yield item


@pytest.mark.parametrize("error", [ServiceRefused, ZeroDivisionError])
def test_a_refusal_or_a_bug_drains_what_was_paid_for(
    tmp_path: Path, error: type[Exception]
) -> None:
    say = Say(log=tmp_path / "say")
    with pytest.raises(error):
        run(tmp_path, Names("abc"), Cut(), say, Refuse(error))
    asked = len(lines(say.log))
    assert asked >= 1
    assert spend_frame(tmp_path).unsettled.sum() == 0  # every paid answer was kept
    run(tmp_path, Names("abc"), Cut(), say)
    assert len(lines(say.log)) == 9


def test_a_stopped_run_leaves_everything_waiting(tmp_path: Path) -> None:
    once = run(tmp_path, Names("abc"), Cut(), stop_early=True)
    assert once.finished == []
    assert len(run(tmp_path, Names("abc"), Cut()).finished) == 9


def test_a_dry_run_computes_nothing_that_costs(tmp_path: Path) -> None:
    say = Say(log=tmp_path / "say")
    once = run(tmp_path, Names("abc"), Cut(), say, dry_run=True)
    assert lines(say.log) == []
    assert [len(once.pending_items[n]) for n in range(3)] == [0, 0, 9]


def test_downstream_starts_before_upstream_is_through(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run(tmp_path, Names([f"film{n:02}" for n in range(40)]), Cut(log=log), Say(log=log))
    first_said = next(n for n, line in enumerate(lines(log)) if "-" in line)
    assert first_said < 12  # of 160 lines; 40 of them are cuts


def test_wiring_is_checked_before_anything_runs() -> None:
    with pytest.raises(WiringError, match=r"'motion'.*add one that does"):
        Pipeline.from_stages(Names("a"), [Cut(), Keep("motion", at_least=1)])
    with pytest.raises(WiringError, match="needs a Clip"):
        Pipeline.from_stages(Names("a"), [Say()])


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "recipe.py"
    script.write_text(
        "import dataclasses\n"
        "from pathlib import Path\n"
        "from tests.brickfilm.engine.test_run import run\n"
        "from tests.kit.toy_stages import Cut, Names\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class MyCut(Cut):\n"
        "    pass\n"
        f"print(len(run(Path({str(tmp_path)!r}), Names('ab'), MyCut(pool='process')).finished))\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=_path_here(), check=False
    )
    assert done.stdout.split() == ["6"], done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_calls_in_flight_and_says_how_to_continue(
    tmp_path: Path, number: signal.Signals
) -> None:
    script = (
        "from pathlib import Path; from brickfilm.build.build_dataset import build_dataset; "
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); "  # ignored under nohup
        "from tests.kit.toy_stages import *; "
        f"w = Path({str(tmp_path)!r}); "
        "build_dataset(Names('abcdef'), Cut(), Say(log=w / 'say', wait=0.3), workdir=w)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, env=_path_here()
    )
    while len(lines(tmp_path / "say")) < 4:
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(number)
    stderr = child.communicate(timeout=20)[1]
    assert "run the same command" in stderr
    assert spend_frame(tmp_path).unsettled.sum() == 0
    asked = len(lines(tmp_path / "say"))
    assert 4 <= asked < 18
    run(tmp_path, Names("abcdef"), Cut(), Say(log=tmp_path / "say"))
    assert len(lines(tmp_path / "say")) == 18


def _path_here() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path.cwd())}
