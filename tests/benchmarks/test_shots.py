"""The shots benchmark counts correctly and keeps its JSON format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.benchmarks.scoring import Score, score
from tests.benchmarks.shots import OURS, labelled_films, main
from tests.brickfilm.conftest import Drawn, plain

__all__ = ["plain"]


@pytest.mark.parametrize(
    ("found", "tolerance", "counted"),
    [
        ([40, 70], 0, Score(2, 0, 0)),
        ([41, 70], 0, Score(1, 1, 1)),
        ([41, 70], 1, Score(2, 0, 0)),
        ([40, 41], 1, Score(1, 1, 1)),
        ([40, 55, 70], 1, Score(2, 0, 0)),
        ([], 1, Score(0, 0, 2)),
    ],
)
def test_cuts_match_once_and_fades_are_ignored(
    found: list[int], tolerance: int, counted: Score
) -> None:
    assert score(found, [40, 70], [54, 55, 56], tolerance) == counted


def test_rates() -> None:
    assert Score(3, 1, 0).f1 == pytest.approx(6 / 7)
    assert (Score(0, 0, 0).f1, Score(0, 0, 2).f1, Score(0, 1, 0).f1) == (1, 0, 0)


@pytest.mark.slow
def test_anyone_can_judge_their_own_films(plain: Drawn) -> None:
    folder = plain.video.path.parent
    truth = folder / "truth.json"
    truth.write_text(json.dumps({plain.video.path.name: plain.truth.labels()}))
    app = typer.Typer()
    app.command()(main)
    command = ["--films", str(folder), "--truth", str(truth), "--figure", str(folder / "f1.svg")]
    done = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False)
    assert "content" in (folder / "f1.svg").read_text()
    report = json.loads(done.stdout)["detectors"]
    assert {*report} >= {"ours", "layout", "holds", "adaptive", "content"}  # more with the extra
    assert report["ours"] == report[OURS]
    assert report["ours"]["films"] == {"plain.mp4": {"cuts": [40, 70], "tp": 2, "fp": 0, "fn": 0}}
    assert report["ours"]["pooled"]["ordinary"] == {"f1": 1.0, "precision": 1.0, "recall": 1.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ("[]", "is not a JSON object"),
        ("{}", "names no video"),
        ('{"gone.mp4": {"cuts": []}}', "'gone.mp4', which is not in"),
        ('{"NAME": {"cut": [40]}}', "has no 'cuts'"),
        ('{"NAME": {"cuts": [40], "kind": "clay"}}', "choose stop-motion or ordinary"),
    ],
)
def test_a_faulty_truth_is_report_before_anything_is_judged(
    truth: str, message: str, plain: Drawn, tmp_path: Path
) -> None:
    (tmp_path / "truth.json").write_text(truth.replace("NAME", plain.video.path.name))
    with pytest.raises(typer.BadParameter, match=message):
        labelled_films(plain.video.path.parent, tmp_path / "truth.json")


def test_cells_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="'threes'"):
        main(corpus_folder=tmp_path, only="threes")
