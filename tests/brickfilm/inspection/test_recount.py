"""Recounts by stored scores: equal to what a build with that bound keeps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brickfilm import Keep
from brickfilm.cli import app
from brickfilm.engine.ledger import Ledger, read_records
from brickfilm.errors import UsageError
from brickfilm.inspection import recount
from tests.kit.small_build import built


def counts(work: Path, *bounds: str) -> dict[tuple[str, str], tuple[int, int]]:
    rows = recount(work, [Keep.parse(bound) for bound in bounds]).to_dict("records")
    return {(r["status"], r["reason"]): (r["clips"], r["meet"]) for r in rows}


@pytest.mark.slow
def test_a_recount_covers_rejected_clips_and_equals_the_rebuild(
    small: Path, tmp_path: Path
) -> None:
    left_out = ("rejected", "num_frames below 21")
    assert counts(small, "num_frames>=20") == {("kept", ""): (1, 1), left_out: (1, 1)}
    assert counts(small, "num_frames<=20") == {("kept", ""): (1, 0), left_out: (1, 1)}
    motion = min(
        record.scores["motion"] for record in read_records(small).values() if record.scores
    )
    both = counts(small, f"motion>={motion!r}", "num_frames>=20")
    assert both == {("kept", ""): (1, 1), left_out: (1, 1)}, "a bound is inclusive"
    work = Path(shutil.copytree(small, tmp_path / "w"))
    result = built(small.parent / "film.mp4", work, Keep("num_frames", at_most=20))
    assert [row["num_frames"] for row in result.dataset["clips"]["train"]] == [20]


def test_the_command_says_what_would_change_and_changes_nothing(small: Path) -> None:
    before = (small / "ledger.sqlite").read_bytes()
    shown = CliRunner().invoke(app, ["status", str(small), "--if", "num_frames>=20"]).output
    assert "1 of 1 clips of the dataset stay, and 1 that these scores reject now" in shown
    assert (small / "ledger.sqlite").read_bytes() == before


@pytest.mark.parametrize("bound", ["motion", "motion>0.5", "motion>=", "motion>=1..2", ">=1"])
def test_an_unclear_bound_is_refused_with_an_example(bound: str) -> None:
    with pytest.raises(UsageError, match="as 'motion>=0\\.02'"):
        Keep.parse(bound)


def test_an_unknown_score_lists_those_that_exist(small: Path) -> None:
    with pytest.raises(UsageError, match=r"'moton': give one of .*motion, num_frames"):
        recount(small, [Keep("moton", at_least=1)])


def test_a_value_that_is_no_number_breaks_no_bound_as_in_a_build() -> None:
    assert Keep("motion", at_least=0.5).broken_bound(float("nan")) == ""


def test_a_ledger_of_an_older_version_names_the_remedy(tmp_path: Path) -> None:
    import sqlite3

    Ledger(tmp_path).__exit__(None, None, None)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as db:
        db.execute("DROP TABLE records")
    with pytest.raises(UsageError, match="run the same build again"):
        read_records(tmp_path)
