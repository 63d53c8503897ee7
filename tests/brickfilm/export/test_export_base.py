"""Any exporter is checked, predicts and writes through the same functions."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from brickfilm.cli import app
from brickfilm.dataset.reader import find_dataset
from brickfilm.errors import UsageError
from brickfilm.export import (
    ExportForecast,
    ExportRow,
    Seen,
    Target,
    export_dataset,
    make_exporter,
    plan_export,
)
from brickfilm.export.base import NothingToExport
from brickfilm.export.caption_styles import render_caption
from brickfilm.export.prediction import Dropped, lost_drawings, speed
from tests.kit.pages import named
from tests.kit.toy_dataset import FRAMES, toy_dataset
from tests.kit.toy_exporter import ToyExporter

CLIP = ExportRow(
    config="clips",
    split="train",
    id="a1",
    sha256="0123456789",
    caption="a red brick",
    frames=FRAMES,
    fps=Fraction(24),
    height=48,
    width=64,
    columns={},
)


def toy(frames: int = 9) -> ToyExporter:
    return ToyExporter(Target.of("wan2.1", frames=frames))


def test_a_second_format_in_one_file_writes_and_predicts(tmp_path: Path) -> None:
    toy_dataset(tmp_path / "work", videos=2, clips=1)
    done = export_dataset(find_dataset(tmp_path / "work"), toy(), tmp_path / "out")
    videos = sorted((tmp_path / "out/videos").glob("*.mp4"))
    assert [video.name for video in videos] == sorted(done.index_path.read_text().split("\n"))
    assert all("a red brick" in video.with_suffix(".txt").read_text() for video in videos)
    assert (done.clips, done.images, done.without_caption) == (2, 0, 0)
    assert done.forecast.lines() == [
        "uses 2 clips and 0 images, 1.4 of 1.7 s",
        "plays 2 clips at 2 times their speed",
    ]


def test_a_rule_that_is_broken_stops_before_a_file_is_written(tmp_path: Path) -> None:
    toy_dataset(tmp_path / "work", videos=1, clips=1)
    with pytest.raises(UsageError, match=r"frames = 13 is not on 8n"):
        export_dataset(find_dataset(tmp_path / "work"), toy(13), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_trainer_that_would_use_no_clip_is_named_with_the_reason(tmp_path: Path) -> None:
    toy_dataset(tmp_path / "work", videos=1, clips=1)
    plan = plan_export(find_dataset(tmp_path / "work"), toy(17))
    assert plan.forecast.dropped == Counter({"fewer than 33 frames": 1})
    with pytest.raises(NothingToExport, match=r"no clip .*drops 1: fewer than 33 frames"):
        plan.write(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_alone_are_no_export_of_clips(tmp_path: Path) -> None:
    toy_dataset(tmp_path / "work", videos=1, clips=1)
    plan = plan_export(find_dataset(tmp_path / "work"), make_exporter("diffusion-pipe"))
    (clip,) = (row for row, _ in plan.predictions if not row.is_image)
    image = replace(clip, config="images", id="i1", fps=None, frames=1)
    seen = Seen((0,), None, 48, 64)
    dropped = replace(plan, predictions=[(clip, Dropped("too short")), (image, seen)])
    with pytest.raises(NothingToExport, match=r"no clip .*drops 1: too short"):
        dropped.require_rows()
    replace(plan, predictions=[(image, seen)]).require_rows()
    with pytest.raises(NothingToExport, match="it has images only, which are not read"):
        replace(plan, predictions=[]).require_rows()
    forecast = ExportForecast.from_predictions([(clip, seen), (image, Dropped("too small"))])
    assert (forecast.clips, forecast.all_clips) == (1, 1)


def test_the_command_takes_a_format_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_dataset(tmp_path / "work", videos=1, clips=1)
    (tmp_path / "pairs.py").write_text(named("pairs.py"))
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])  # as of a console script
    monkeypatch.chdir(tmp_path)
    command = ["export", "work", "--to", "pairs:Pairs", "--model", "ltx-2", "--frames", "9"]
    app([*command, "--out", "out"], standalone_mode=False)
    assert "pairs uses 1 clip and 0 images" in capsys.readouterr().out
    (row,) = map(json.loads, (tmp_path / "out/pairs.jsonl").read_text().splitlines())
    assert row["frames"] == 9 and row["text"].startswith("a red brick")
    assert (tmp_path / "out" / row["video"]).is_file()
    for wrong, message in (
        ("nowhere:Mine", "run the command in the folder of nowhere.py"),
        ("brickfilm.export:TrainerFormat", "has no predict, write"),
        ("json:dumps", "module:Class for a subclass of brickfilm.export.TrainerFormat"),
    ):
        with pytest.raises(UsageError, match=message):
            app(["export", "work", "--to", wrong, "--dry-run"], standalone_mode=False)


@pytest.mark.parametrize(
    ("fps", "expected"), [(24, 2.0), (12, 1.0), (16, 4 / 3)], ids=["double", "true", "faster"]
)
def test_speed_is_that_of_the_frames_read(fps: int, expected: float) -> None:
    assert speed(CLIP, Seen((0, 2, 4, 6), Fraction(fps), 48, 64)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("styles", "text"),
    [
        ('{"wan2.2": "short\\n one", "paragraph": "long"}', "short one"),
        ('{"paragraph": "long"}', "the caption"),
        ('{"wan2.2": " "}', "the caption"),
        ('{"wan2.2": 3}', "the caption"),
        ("[", "the caption"),
        ("[1]", "the caption"),
        (None, "the caption"),
    ],
)
def test_a_target_gets_its_style_of_caption_as_one_line(styles: str | None, text: str) -> None:
    columns = {"caption": "the\ncaption ", "captions": styles}
    assert render_caption(columns, "wan2.2") == text


def test_drawings_that_no_frame_shows_are_counted_within_what_is_read() -> None:
    row = replace(CLIP, drawings=(0, 2, 4, 6, 8, 10, 12))  # on twos
    assert lost_drawings(row, Seen((0, 1, 2, 3, 4), None, 48, 64)) == 0
    assert lost_drawings(row, Seen((0, 3, 6, 9, 12), None, 48, 64)) == 2  # 4 and 10
    forecast = ExportForecast.from_predictions(
        [(row, Seen((0, 3, 6, 9, 12), Fraction(24), 48, 64))]
    )
    assert "would drop about every third drawing of 1 clip (2 of 7)" in forecast.lines()


@pytest.mark.parametrize("name", ["../../up", "/etc/x", "a b", "ä", "", "x" * 300])
def test_names_from_data_never_become_paths(name: str) -> None:
    made = replace(CLIP, id=name, sha256=f"../{name}").file_name
    assert "/" not in made and made.isascii() and made.endswith(".mp4") and len(made) < 120
    assert made != replace(CLIP, id=name + "!", sha256="x").file_name
