"""The shot detector is chosen once for a work folder: an extra that comes later recuts nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from brickfilm.build.plan_file import FILENAME, Plan
from brickfilm.build.shot_detector import with_kept_detector
from brickfilm.cli import app
from brickfilm.detectors import HoldAware, JointDetector
from brickfilm.engine.ledger import Ledger
from brickfilm.engine.ledger.file import FILENAME as LEDGER
from brickfilm.engine.stage import Part
from brickfilm.errors import UsageError
from brickfilm.scan.wipes import WipeAnalyzer
from brickfilm.stages import FrameSampler, Keep, SceneSplitter
from tests.kit.extras import transnetv2
from tests.kit.small_build import two_shots

__all__ = ["transnetv2"]


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Return a folder that was cut and has no plan, as the first release left it."""
    work = tmp_path / "work"
    answer(work, HoldAware())
    return work


def chosen(work: Path, splitter: SceneSplitter) -> str:
    (found,) = with_kept_detector([splitter], work)
    assert isinstance(found, SceneSplitter)
    return found.shot_detector


def test_a_new_folder_without_the_extra_gets_layout(tmp_path: Path) -> None:
    assert chosen(tmp_path, SceneSplitter()) == "layout"
    with Ledger(tmp_path):
        pass  # a build that was stopped before it wrote its plan
    assert chosen(tmp_path, SceneSplitter()) == "layout"


def test_a_new_folder_with_the_extra_gets_joint(transnetv2: None, tmp_path: Path) -> None:
    assert chosen(tmp_path, SceneSplitter()) == "joint"


def test_a_folder_of_the_first_release_keeps_holds(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chosen(built, SceneSplitter()) == "holds"
    assert "`brickfilm build --detector layout` cuts anew" in capsys.readouterr().err
    assert SceneSplitter().digest == SceneSplitter(detector=HoldAware()).digest


def test_the_extra_recuts_no_folder(
    transnetv2: None, built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chosen(built, SceneSplitter()) == "holds"
    told = capsys.readouterr().err  # the command too: `demo` and Python have no --detector
    assert "`brickfilm build --detector joint` cuts anew, and its --dry-run says what" in told
    Plan.from_stages([SceneSplitter(detector="holds")]).write(built)
    assert chosen(built, SceneSplitter()) == "holds"


@pytest.mark.parametrize("name", ["layout", "joint", "transnetv2", "adaptive"])
def test_a_folder_keeps_its_detector(name: str, built: Path) -> None:
    Plan.from_stages([SceneSplitter(detector=name)]).write(built)  # type: ignore[arg-type]
    assert chosen(built, SceneSplitter(min_frames=9)) == name
    assert chosen(built, SceneSplitter(detector="content")) == "content"


def test_a_damaged_plan_is_no_reason_to_guess(built: Path) -> None:
    (built / FILENAME).write_text("{")
    with pytest.raises(UsageError, match="damaged, and recorded the shot detector: give it with"):
        chosen(built, SceneSplitter())
    assert chosen(built, SceneSplitter(detector="layout")) == "layout"


def test_a_detector_of_ones_own_must_be_given_again(built: Path) -> None:
    class Own(HoldAware):
        name = "own"

    Plan.from_stages([SceneSplitter(detector=Own())]).write(built)
    with pytest.raises(UsageError, match="was cut by the detector 'own': name it"):
        chosen(built, SceneSplitter())


def describes(work: Path, splitter: SceneSplitter, *more: Keep) -> bool | None:
    found = with_kept_detector([splitter, *more], work)[0]
    assert isinstance(found, SceneSplitter)
    return found.describe_cuts


def answer(work: Path, part: Part) -> None:
    """Store an answer, as a build that scanned a video does."""
    with Ledger(work) as ledger, ledger.transaction():
        ledger.put(part.digest, "key", {"data": ""})


def test_cuts_are_described_in_new_folders_and_by_another_detector(tmp_path: Path) -> None:
    assert describes(tmp_path, SceneSplitter()) is True
    answer(tmp_path, HoldAware())
    assert describes(tmp_path, SceneSplitter()) is False
    assert describes(tmp_path, SceneSplitter(detector="layout")) is True
    assert describes(tmp_path, SceneSplitter(describe_cuts=True)) is True
    answer(tmp_path, WipeAnalyzer())
    assert describes(tmp_path, SceneSplitter()) is True
    assert describes(tmp_path, SceneSplitter(describe_cuts=False)) is False


@pytest.mark.parametrize("name", ["layout", "joint"])
@pytest.mark.parametrize("rule", [1, 2])
def test_a_folder_that_an_older_rule_cut_keeps_it(
    name: str, rule: Literal[1, 2], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splitter = SceneSplitter(detector=name)  # type: ignore[arg-type]
    newest = splitter.detector
    assert isinstance(newest, JointDetector)
    assert newest.rule == 3
    assert detector_in(tmp_path, splitter) == newest
    older = replace(newest, rule=rule)
    answer(tmp_path, older)
    assert detector_in(tmp_path, splitter) == older
    assert f"keeps rule {rule} of {name!r}; a new folder gets" in capsys.readouterr().err
    answer(tmp_path, newest)
    assert detector_in(tmp_path, splitter) == newest
    assert capsys.readouterr().err == ""


def test_of_two_older_rules_the_newer_is_kept(tmp_path: Path) -> None:
    splitter = SceneSplitter(detector="layout")
    newest = splitter.detector
    assert isinstance(newest, JointDetector)
    rules: tuple[Literal[1, 2], ...] = (2, 1)
    for rule in rules:
        answer(tmp_path, replace(newest, rule=rule))
    assert detector_in(tmp_path, splitter) == replace(newest, rule=2)


def test_each_rule_keeps_the_digest_of_its_answers() -> None:
    holds = HoldAware()
    rules: tuple[Literal[1, 2, 3], ...] = (1, 2, 3)
    layouts = [JointDetector(holds=holds, asks_network=False, rule=rule) for rule in rules]
    digests = [layout.digest for layout in layouts]
    assert digests == ["2864bf88422d5c18", "e6c00d303f269e74", "fdfbe27329745972"]
    assert digests[0] == JointDetector(holds=holds, asks_network=False).digest


def detector_in(work: Path, splitter: SceneSplitter) -> object:
    (found,) = with_kept_detector([splitter], work)
    assert isinstance(found, SceneSplitter)
    return found.detector


def test_an_empty_ledger_is_left_to_the_build(tmp_path: Path) -> None:
    (tmp_path / LEDGER).touch()
    assert describes(tmp_path, SceneSplitter()) is True


def test_a_folder_that_was_cut_without_says_how_to_get_a_score_of_cuts(tmp_path: Path) -> None:
    answer(tmp_path, HoldAware())
    keep = Keep("cut_start", at_least=0.5)
    with pytest.raises(UsageError, match=r"'cut_start' was not.*SceneSplitter\(describe_cuts=True"):
        describes(tmp_path, SceneSplitter(), keep)
    assert describes(tmp_path, SceneSplitter(describe_cuts=True), keep) is True


def test_stages_without_a_splitter_pass(built: Path) -> None:
    stages = [FrameSampler()]
    assert with_kept_detector(stages, built) == stages


@pytest.mark.slow
def test_the_command_line_changes_the_detector_and_then_keeps_it(tmp_path: Path) -> None:
    film = two_shots(tmp_path / "a.mp4", size=(320, 180))
    work = tmp_path / "work"
    command = ("build", film, "--out", work, "--captions", "none")
    brickfilm(*command)
    assert detectors_of(work) == {"layout"}
    assert "HoldAware" in brickfilm(*command, "--detector", "holds", "--dry-run").output
    assert detectors_of(work) == {"layout"}
    brickfilm(*command, "--detector", "holds")
    assert detectors_of(work) == {"holds"}
    brickfilm(*command)
    assert detectors_of(work) == {"holds"}


def brickfilm(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def detectors_of(work: Path) -> set[str]:
    files = (work / "dataset").rglob("clips/**/*.parquet")
    tables = [pd.read_parquet(file) for file in files]
    return {name for table in tables for name in table.get("shot_detector", ["holds"])}
