"""`brickfilm measure`: scores over time without a work folder, and what conditions would drop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from brickfilm.build.keep_options import check_score, keeps_of
from brickfilm.cli import app
from brickfilm.detectors import HoldAware
from brickfilm.errors import UsageError
from brickfilm.inspection import MeasuredFile, drop_shares, measure_files
from brickfilm.inspection.score_page import score_chart
from brickfilm.measures import Exposure, Motion
from brickfilm.schema.recipes import find_keep_set
from brickfilm.stages import Keep, SceneSplitter
from tests.brickfilm.measures import drawn

SPLITTER = SceneSplitter(detector=HoldAware(), measures=(Motion(), Exposure()))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a second that stands still in grey 60, then one of a pan in grey 160."""
    moving = drawn.panned([(3.0 * n, 0.0) for n in range(24)])
    still = drawn.texture(seed=3, mean=60)
    path = tmp_path_factory.mktemp("measured") / "two.mp4"
    return drawn.encode(path, [*[still] * 24, *(p // 2 + 100 for p in moving)], scale=0.25)


@pytest.fixture(scope="module")
def measured(film: Path) -> MeasuredFile:
    (file,) = measure_files(film, every=0.25, splitter=SPLITTER)
    return file


def test_windows_tell_when_a_score_changes(measured: MeasuredFile) -> None:
    assert [(w.start, w.end) for w in measured.windows] == [(n / 4, n / 4 + 0.25) for n in range(8)]
    assert [w.scores["motion"] > 0.1 for w in measured.windows] == [False] * 4 + [True] * 4
    light = [w.scores["brightness"] for w in measured.windows]
    assert max(light[:4]) < 70 and min(light[4:]) > 150
    assert [(clip.start, clip.end) for clip in measured.clips] == [(0, 1), (1, 2)]
    assert measured.errors == ()


def test_each_condition_and_all_together_are_counted(measured: MeasuredFile) -> None:
    keeps = [Keep("motion", at_least=0.02), Keep("brightness", at_most=200)]
    shares = drop_shares(measured.clips, keeps)
    assert [(s.condition, s.clips, s.seconds) for s in shares] == [
        ("motion>=0.02", 1, 1.0),
        ("brightness<=200", 0, 0),
        ("together", 1, 1.0),
    ]
    assert {(s.of_clips, s.of_seconds) for s in shares} == {(2, 2.0)}


def test_a_chart_has_a_level_for_each_window_a_cut_and_a_bound(measured: MeasuredFile) -> None:
    chart = score_chart(measured, "brightness", [Keep("brightness", 100), Keep("motion", 0.1)])
    assert chart.line.count("M") == 8 and chart.cuts == [500] and len(chart.bounds) == 1


def test_the_command_prints_plots_and_counts(film: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/broken.mp4").write_bytes(film.read_bytes()[:700])
    page = tmp_path / "page.html"
    arguments = ("--detector", "holds", "--keep", "motion>=0.02", "--plot", page)
    told = brickfilm("measure", film, *arguments).output
    assert "2 clips of 2.0 s" in told and "▁█\n" in told
    assert "motion>=0.02: drops 1 of 2 clips (50 %), 50 % of the seconds" in told
    assert page.read_text(encoding="utf-8").count("<svg") > 20
    result = brickfilm("measure", film, tmp_path / "more", "--json", *arguments[:4], code=1)
    facts = json.loads(result.stdout)
    good, broken = facts["files"]
    assert [clip["end_frame"] for clip in good["clips"]] == [24, 48]
    assert broken["clips"] == [] and broken["left_out"][0]["reason"]
    assert facts["drops"][-1]["clips"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--keep", "moton>=1"), "did you mean motion"),
        (("--keep", "brick"), "did you mean 'bricks'"),
        (("--keep", "vmaf_motion>=2"), "--measures all"),
        (("--every", "0"), "give the seconds of a window"),
        (("--plot", "nowhere/page.html"), "there is no folder 'nowhere'"),
    ],
)
def test_wrong_options_are_named_before_anything_is_decoded(
    film: Path, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        CliRunner().invoke(app, ["measure", str(film), *words], catch_exceptions=False)


@pytest.mark.parametrize("name", ["bricks", "general"])
def test_packaged_sets_name_scores_of_the_default_measures(name: str) -> None:
    keeps = keeps_of([name, "height>=720"])
    assert len(keeps) > 8 and keeps[-1] == Keep("height", 720)
    provided = SceneSplitter(measures="default").provides
    for keep in keeps[:-1]:
        check_score(keep.score, provided)
        assert keep.score in provided


def test_a_set_of_ones_own_and_a_line_that_is_none(tmp_path: Path) -> None:
    own = tmp_path / "mine.txt"
    own.write_text("# mine\n\nmotion>=0.1  # why\n")
    assert Keep.read(own) == (Keep("motion", 0.1),)
    assert find_keep_set(tmp_path / "mine") == own
    own.write_text("motion >> 1\n")
    with pytest.raises(UsageError, match=r"mine\.txt.*'motion >> 1' is no condition"):
        Keep.read(own)


def brickfilm(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result
