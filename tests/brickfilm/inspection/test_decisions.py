"""Answers to 'why': by id, by a moment, with numbers, dates and cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brickfilm.build.build_dataset import run_pass
from brickfilm.cli import app
from brickfilm.engine.ledger import CaptionEdit, Ledger, read_records, save_edits
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.progress import PlainLines
from brickfilm.engine.queue import Failures
from brickfilm.errors import UsageError
from brickfilm.inspection import why
from tests.kit.inline_executor import InlineExecutor
from tests.kit.toy_stages import Cut, Names, Say


def clip_ids(work: Path) -> dict[int, str]:
    return {r.num_frames: r.item for r in read_records(work).values() if r.kind == "clip"}


def test_a_rejected_clip_names_the_stage_and_the_value(small: Path) -> None:
    short = clip_ids(small)[20]
    (history,) = why(small, short)
    assert history.outcome == "rejected by Keep: num_frames is 20, below 21"
    assert [d.stage for d in history.decisions][:2] == ["Probe", "SceneSplitter"]
    assert history.record is not None and history.record.scores["motion"] > 0
    assert {"ClipWriter", "FrameSampler", "Motion"} <= {a.part for a in history.answers}
    told = CliRunner().invoke(app, ["why", str(small), short]).output.splitlines()
    (line,) = (line for line in told if "Motion" in line)
    assert line.endswith("s of work: by frame") and "Sharpness" in line, "one scan, one line"


def test_a_moment_finds_the_clip_that_covers_it(small: Path) -> None:
    ids = clip_ids(small)
    first, second = sorted(ids.values())
    assert [h.item for h in why(small, "film.mp4@0")] == [first]
    assert [h.item for h in why(small, "film.mp4@0:01.2")] == [second]
    assert [h.item for h in why(small, f"{first.split('-')[0]}@1.2")] == [second]
    with pytest.raises(UsageError, match=r"at 60 s; it has 0.00-0.83 s, 0.83-1.83 s"):
        why(small, "film.mp4@1:00")
    with pytest.raises(UsageError, match="write the time"):
        why(small, "film.mp4@soon")


def test_an_unknown_name_gets_a_suggestion(small: Path) -> None:
    clip = clip_ids(small)[24]
    with pytest.raises(UsageError, match=f"did you mean '{clip}'"):
        why(small, clip[:-1])


def test_the_cost_of_a_request_and_an_edit_are_told(tmp_path: Path) -> None:
    source, executor = Names(("a",)), InlineExecutor()
    pipeline = Pipeline.from_stages(source, (Cut(pieces=1), Say()))
    with Ledger(tmp_path) as ledger:
        run = run_pass(pipeline, source, ledger, executor, PlainLines(), Failures())
    executor.close()
    (clip,) = run.finished
    save_edits(tmp_path, [CaptionEdit(item=clip.id, reject=True, note="dark[est]")])
    output = CliRunner().invoke(app, ["why", str(tmp_path), clip.id]).output
    assert "$0.010000" in output and f"text=bricks of {clip.id}" in output
    assert "rejected: dark[est]" in output
    (told,) = json.loads(CliRunner().invoke(app, ["why", str(tmp_path), clip.id, "--json"]).stdout)
    assert told["outcome"].startswith("done")
