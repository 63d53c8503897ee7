"""Conditions of the command line are read exactly, and blank clips go unless asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from brickfilm import FolderSource
from brickfilm.build.keep_options import BLANK_LIMITS, with_keeps
from brickfilm.build.recipe import DatasetRecipe
from brickfilm.cli import app
from brickfilm.errors import UsageError
from brickfilm.stages import FrameSampler, Keep, SceneSplitter
from tests.brickfilm.measures import drawn

RECIPE = DatasetRecipe(FolderSource("films"), (SceneSplitter(), FrameSampler()))


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("motion>=0.02", Keep("motion", at_least=0.02)),
        (" brightness <= 140 ", Keep("brightness", at_most=140)),
        ("camera_pan>=-1e-1", Keep("camera_pan", at_least=-0.1)),
    ],
)
def test_a_condition_is_a_keep(text: str, keep: Keep) -> None:
    assert Keep.parse(text) == keep


@pytest.mark.parametrize(
    "text", ["motion", "motion>0.02", "motion>=", ">=1", "motion>=nan", "a b<=1"]
)
def test_what_is_no_condition_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="is no condition: write a score and its bound"):
        Keep.parse(text)


def test_blank_clips_go_unless_a_condition_is_on_their_score() -> None:
    default = with_keeps(RECIPE, None, with_blank=False).stages
    assert [stage.score for stage in default if isinstance(stage, Keep)] == list(BLANK_LIMITS)
    given = with_keeps(RECIPE, ["black_share<=0.1"], with_blank=False).stages
    assert given[1:4] == (*default[2:4], Keep("black_share", at_most=0.1))
    assert with_keeps(RECIPE, None, with_blank=True).stages == RECIPE.stages


def test_a_score_that_no_measure_gives_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no measure gives 'moton': did you mean motion"):
        with_keeps(RECIPE, ["moton>=1"], with_blank=True)
    with pytest.raises(UsageError, match="has no SceneSplitter"):
        with_keeps(DatasetRecipe(RECIPE.source, ()), ["motion>=1"], with_blank=False)


def test_a_clip_without_the_score_passes_only_if_that_is_allowed() -> None:
    keep = Keep("black_share", at_most=0.5, if_measured=True)
    assert keep.requires == ()
    assert Keep("black_share", at_most=0.5).requires == ("black_share",)
    assert Keep("black_share", at_most=0.5).digest != keep.digest


@pytest.mark.slow
def test_the_command_drops_what_shows_nothing_and_says_why(tmp_path: Path) -> None:
    shown = drawn.panned([(4.0 * n, 0.0) for n in range(24)])
    blank = (np.zeros_like(shown[0]), np.full_like(shown[0], 90), drawn.color_bars())
    films = tmp_path / "films"
    films.mkdir()
    drawn.encode(films / "a.mp4", [*shown, *(picture for picture in blank for _ in range(24))])
    command = ("build", films, "--captions", "none", "--detector", "content", "--out")
    assert "clips: 1 train" in brickfilm(*command, tmp_path / "a").output
    status = brickfilm("status", tmp_path / "a").output
    for reason in ("black_share above 0.5", "flat_share above 0.5", "color_bars above 0.5"):
        assert reason in status
    assert "clips: 4 train" in brickfilm(*command, tmp_path / "a", "--keep-all").output
    assert (
        "clips: 0 train"
        in brickfilm(*command, tmp_path / "a", "--keep", "motion>=9", code=1).output
    )


def brickfilm(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result
