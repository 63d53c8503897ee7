"""Measures are chosen once for a work folder: an upgrade scans nothing again unasked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from brickfilm.build.measure_set import with_kept_measures
from brickfilm.build.plan_file import FILENAME, Plan
from brickfilm.engine.ledger import Ledger
from brickfilm.errors import UsageError
from brickfilm.measures import DEFAULT_MEASURES, FIRST_MEASURES, Blockiness, Motion, VmafMotion
from brickfilm.stages import Keep, SceneSplitter


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Return a folder that was scanned and has no plan, as the first release left it."""
    with Ledger(tmp_path / "work") as ledger, ledger.transaction():
        ledger.put(Motion().digest, "key", {"data": ""})
        return ledger.work


def chosen(work: Path, splitter: SceneSplitter, *stages: Keep) -> SceneSplitter:
    found = with_kept_measures([splitter, *stages], work)[0]
    assert isinstance(found, SceneSplitter)
    return found


def test_a_new_folder_gets_the_default_measures(tmp_path: Path) -> None:
    assert chosen(tmp_path, SceneSplitter()).measures == DEFAULT_MEASURES
    with Ledger(tmp_path):
        pass  # a build that was stopped before it wrote its plan
    assert chosen(tmp_path, SceneSplitter()).measures == DEFAULT_MEASURES


def test_an_old_folder_keeps_its_measures_and_digests(built: Path) -> None:
    kept = chosen(built, SceneSplitter())
    assert kept.measures == FIRST_MEASURES
    assert kept.digest == SceneSplitter().digest == SceneSplitter(measures="first").digest
    Plan.from_stages([kept]).write(built)
    assert chosen(built, SceneSplitter()).measures == FIRST_MEASURES


def test_a_score_that_a_stage_requires_is_measured(built: Path, tmp_path: Path) -> None:
    keep = Keep("blockiness", at_most=1)
    found = chosen(built, SceneSplitter(), keep)
    assert found.measures == (*FIRST_MEASURES, Blockiness())
    Plan.from_stages([found, keep]).write(built)
    assert chosen(built, SceneSplitter()).measures == FIRST_MEASURES
    assert (
        VmafMotion() in chosen(tmp_path, SceneSplitter(), Keep("vmaf_motion", at_least=2)).measures
    )


@pytest.mark.parametrize("name", ["default", "all"])
def test_a_folder_keeps_the_set_that_was_asked_for(name: str, built: Path) -> None:
    asked = SceneSplitter(measures=name)  # type: ignore[arg-type]
    Plan.from_stages([asked]).write(built)
    assert chosen(built, SceneSplitter()).measures == asked.measures
    Plan.from_stages([chosen(built, SceneSplitter(), Keep("vmaf_motion", at_least=2))]).write(built)
    assert set(DEFAULT_MEASURES) <= set(chosen(built, SceneSplitter()).measures)


def test_measures_of_ones_own_stay(built: Path) -> None:
    for splitter in (SceneSplitter(measures=(Motion(),)), replace(SceneSplitter(), measures=())):
        assert chosen(built, splitter) == splitter


def test_a_damaged_plan_is_no_reason_to_guess(built: Path) -> None:
    (built / FILENAME).write_text("{")
    with pytest.raises(UsageError, match="give them with --measures default, or"):
        chosen(built, SceneSplitter())


def test_an_unknown_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="give auto, first, default, all or a tuple"):
        SceneSplitter(measures="most")  # type: ignore[arg-type]
