"""The numbers in progress lines: exact totals, estimates that are marked, the time left."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from brickfilm import FolderSource
from brickfilm.engine.calls import work_item_of
from brickfilm.engine.ledger import Ledger
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.progress import PlainLines
from brickfilm.engine.queue import StageQueue
from brickfilm.engine.run import PipelineRun
from brickfilm.engine.stage_counts import StageCount, StatusCounter, TimeLeft
from brickfilm.records import Listing
from brickfilm.stages import Keep
from tests.kit.inline_executor import InlineExecutor
from tests.kit.report_builds import result_of
from tests.kit.toy_stages import Cut, Fetch, Names, Say, clip, video

FILM, LISTED = video("a"), Listing(source_id="a")


def queues() -> list[StageQueue]:
    return [StageQueue(n, stage, 1) for n, stage in enumerate((Fetch(), Cut(), Say()))]


def results(position: int, *items: object) -> list:
    return [result_of(item, "done", position=position) for item in items]


def counted(of: list[StageQueue], *made: object) -> list[str]:
    return [str(count) for count in StatusCounter().read(of, list(made))]


def test_later_totals_are_estimated_until_earlier_stages_are_complete() -> None:
    of = queues()
    assert counted(of) == ["0 of ?", "0 of ?", "0 of ?"]
    of[0].unlisted = 8
    made = results(0, LISTED, LISTED)
    waiting = work_item_of(of[1].stage, FILM)
    of[1].enqueue(waiting)
    made += results(1, FILM)
    for n in range(3):
        of[2].enqueue(work_item_of(of[2].stage, clip(FILM, n, n + 1)))
    assert counted(of, *made) == ["2 of 10", "1 of ~10", "0 of ~30"]
    of[0].unlisted = 0
    of[1].pop_waiters([waiting])
    assert counted(of, *made) == ["2 of 2", "1 of 1", "0 of 3"]
    of[0].unlisted = None
    assert counted(of, *made) == ["2 of 2+", "1 of 1+", "0 of 3+"]


def test_what_a_stage_rejects_of_its_own_is_no_item_of_it() -> None:
    of, counter = queues(), StatusCounter()
    of[0].unlisted = 0
    cuts = [result_of(clip(FILM, n), "rejected", "too short", position=1) for n in range(30)]
    made = [*results(1, FILM), *cuts]
    assert str(counter.read(of, made)[1]) == "1 of 1"
    assert counter.note(1) == "30 rejected"
    assert str(counter.read(of, list(made[:1]))[1]) == "1 of 1"  # another pass starts anew
    assert counter.note(1) == ""


def test_a_run_ends_with_exact_totals_and_never_counts_down(tmp_path: Path) -> None:
    seen: list[list[StageCount]] = []

    class Watch:
        counter = StatusCounter()

        def update(self, queues: list[StageQueue], item_results: list) -> None:
            assert [q.num_items for q in queues] == [len(list(q.items())) for q in queues]
            seen.append(self.counter.read(queues, item_results))

    stages = (Cut(), Say())
    with Ledger(tmp_path) as ledger:
        pipeline = Pipeline.from_stages(Names("abc"), stages)
        run = PipelineRun(pipeline, ledger, InlineExecutor(), progress=Watch())
        run.execute(Names("abc").items())
    for counts in seen:
        assert all(count.done <= count.total for count in counts)
    for before, after in pairwise(seen):
        assert all(b.done <= a.done for b, a in zip(before, after, strict=True))
    assert [str(count) for count in seen[-1]] == ["3 of 3", "3 of 3", "9 of 9"]


def test_time_left_is_that_of_the_slowest_stage_at_its_speed_of_late() -> None:
    left, first, second = TimeLeft(), StageCount(10, 20), StageCount(5, 305, "~")
    assert left.read(0.0, [first, second]) == ""
    later = [StageCount(20, 20), replace(second, done=15)]
    assert left.read(60.0, later) == "about 29 min left"
    assert left.read(70.0, [StageCount(20, 20), StageCount(305, 305)]) == ""
    assert left.read(80.0, [StageCount(0, 9), StageCount(0, 9)]) == ""  # another pass


def test_plain_lines_carry_totals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("brickfilm.engine.progress.PLAIN_LINE_SECONDS", 0.0)
    of = [*queues(), StageQueue(3, Keep("motion", at_least=0.1), 1)]  # Keep computes nothing
    of[0].unlisted = 1_999
    PlainLines().update(of, results(0, LISTED))
    assert capsys.readouterr().err == "Fetch 1 of 2,000; Cut 0 of ?; Say 0 of ?\n"


def test_a_folder_knows_the_number_of_its_entries(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "notes.doc"):
        (tmp_path / name).touch()
    assert FolderSource(tmp_path).items().__length_hint__() == 3
