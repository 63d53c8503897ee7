"""Each trainer's rules, read from the exported folder, give what the report predicted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from brickfilm.dataset.reader import SavedDataset, find_dataset
from brickfilm.errors import UsageError
from brickfilm.export import (
    FORMATS,
    Dropped,
    ExportPlan,
    ExportRow,
    ExportSettings,
    RecutSettings,
    Seen,
    Target,
    make_exporter,
    plan_export,
)
from brickfilm.export.formats.opensora2 import OpenSora2
from brickfilm.export.prediction import lost_drawings, speed
from tests.kit.numbered_clips import CLIPS, numbered_dataset
from tests.kit.trainer_readers import (
    READERS,
    Sample,
    ai_toolkit_sample,
    assert_safe_names,
    diffusion_pipe,
    finetrainers,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SavedDataset:
    work = tmp_path_factory.mktemp("work")
    numbered_dataset(work, CLIPS)
    return find_dataset(work)


def predicted(plan: ExportPlan) -> list[Sample]:
    return [
        Sample(
            row.stem,
            row.caption,
            seen.frames,
            float(seen.fps) if seen.fps else None,
            (seen.width, seen.height),
            seen.last_start,
        )
        for row, seen in plan.used
    ]


def by_name(samples: list[Sample]) -> list[Sample]:
    return sorted(
        (replace(s, fps=s.fps and round(s.fps, 6)) for s in samples), key=lambda s: s.name
    )


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "model"), READERS, ids=lambda name: name)
def test_a_trainer_reads_what_was_predicted(
    dataset: SavedDataset, tmp_path: Path, trainer: str, model: str
) -> None:
    frames = {"simpletuner": 33, "fastvideo": 33}.get(trainer)
    plan = plan_export(dataset, make_exporter(trainer, model, frames=frames))
    plan.write(tmp_path / "out")
    read = list(READERS[trainer, model](tmp_path / "out"))
    assert by_name(read) == by_name(predicted(plan))
    assert read
    assert all("\n" not in sample.caption for sample in read)
    assert_safe_names(tmp_path / "out")


def test_every_format_has_a_reader() -> None:
    assert {trainer for trainer, _ in READERS} == set(FORMATS)


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "model"), READERS, ids=lambda name: name)
def test_recut_clips_are_read_as_predicted_too(
    dataset: SavedDataset, tmp_path: Path, trainer: str, model: str
) -> None:
    if trainer in ("cosmos-predict2.5", "opensora2"):
        frames = {"cosmos-predict2.5": 93, "opensora2": 33}[trainer]
    else:
        frames = 25
    settings = ExportSettings(RecutSettings(fps=Fraction(16)), cut_frames=True)
    plan = plan_export(dataset, make_exporter(trainer, model, frames=frames), settings)
    plan.write(tmp_path / "out")
    read = list(READERS[trainer, model](tmp_path / "out"))
    assert by_name(read) == by_name(predicted(plan))
    assert read


# -- traps ---------------------------------------------------------------------------------------

CLIP = ExportRow(
    config="clips",
    split="train",
    id="a1",
    sha256="0123456789",
    caption="a red brick",
    frames=81,
    fps=Fraction(24),
    height=480,
    width=832,
    columns={},
)


def seen(
    trainer: str, model: str | None = None, frames: int | None = None, **row: object
) -> object:
    return make_exporter(trainer, model, frames=frames).predict(replace(CLIP, **row))  # type: ignore[arg-type]


def test_fastvideo_gets_the_rate_that_its_page_leaves_out(
    dataset: SavedDataset, tmp_path: Path
) -> None:
    plan_export(dataset, make_exporter("fastvideo", frames=33)).write(tmp_path / "out")
    items = json.loads((tmp_path / "out/videos2caption.json").read_text())
    assert all({"path", "cap", "fps", "num_frames", "resolution"} <= set(item) for item in items)
    assert {round(item["fps"], 2) for item in items} == {12, 16, 23.98, 24, 30}


def test_fastvideo_drops_clips_of_five_times_the_target_and_keeps_no_short_ones() -> None:
    exporter = make_exporter("fastvideo", frames=77)
    assert isinstance(exporter.predict(replace(CLIP, frames=577)), Seen)
    dropped = exporter.predict(replace(CLIP, frames=578))
    assert dropped == Dropped("longer than 24.0625 s, 5 times the target")
    assert exporter.predict(CLIP) == Dropped("fewer than 77 frames at 16 fps")  # 54 are there


@pytest.mark.parametrize(("frames", "kept"), [(92, False), (93, False), (94, True)])
def test_cosmos_needs_one_frame_more_than_93(frames: int, kept: bool) -> None:
    prediction = make_exporter("cosmos-predict2.5").predict(replace(CLIP, frames=frames))
    assert isinstance(prediction, Seen) is kept
    if not kept:
        assert prediction == Dropped("fewer than 94 frames")


def test_diffsynth_reads_no_frame_of_a_single_one_at_a_fixed_rate() -> None:
    one = replace(CLIP, frames=1, fps=Fraction(30))
    fixed = make_exporter("diffsynth", "ltx-2").predict(one)
    assert fixed == Dropped("DiffSynth would read 0 frames of it at a fixed rate")
    assert make_exporter("diffsynth", "wan2.1").predict(one) == Dropped("fewer than 5 frames")


@pytest.mark.parametrize(
    ("model", "frames", "read"), [("wan2.1", 80, 77), ("ltx-2", 93, 89), ("wan2.1", 93, 81)]
)
def test_diffsynth_cuts_a_short_clip_to_the_grid(model: str, frames: int, read: int) -> None:
    prediction = make_exporter("diffsynth", model).predict(replace(CLIP, frames=frames))
    assert isinstance(prediction, Seen)
    assert len(prediction.frames) == read


def test_diffusion_pipe_needs_frame_buckets_and_captions(
    dataset: SavedDataset, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    plan_export(dataset, make_exporter("diffusion-pipe")).write(out)
    before = len(list(diffusion_pipe(out, 16, 16)))
    next((out / "data").glob("*.txt")).unlink()
    assert len(list(diffusion_pipe(out, 16, 16))) == before - 1
    config = (out / "dataset.toml").read_text()
    (out / "dataset.toml").write_text(config.replace("frame_buckets =", "unused ="))
    assert list(diffusion_pipe(out, 16, 16)) == []


def test_musubi_gets_a_float_and_only_where_frames_are_dropped(
    dataset: SavedDataset, tmp_path: Path
) -> None:
    plan_export(dataset, make_exporter("musubi-tuner")).write(tmp_path / "out")
    config = (tmp_path / "out/dataset.toml").read_text()
    assert "source_fps = 24.0\n" in config
    assert "source_fps = 23.976023976023978\n" in config
    assert "12fps-49f" in config
    assert "source_fps = 12" not in config
    assert config.count("target_frames") == config.count("[[datasets]]")


def test_ai_toolkit_would_speed_up_by_default_and_does_not_by_our_config(
    dataset: SavedDataset, tmp_path: Path
) -> None:
    plan = plan_export(dataset, make_exporter("ai-toolkit"))
    plan.write(tmp_path / "out")
    assert plan.forecast.changed_speed == 0
    row = next(row for row, _ in plan.used if row.frames == 270)
    by_default = {"num_frames": 81, "fps": 16, "resolution": [512]}
    sample = ai_toolkit_sample(tmp_path / "out/videos" / row.file_name, by_default, 4, 16)
    spread = Seen(sample.frames, Fraction(16), 96, 160)
    assert speed(row, spread) == pytest.approx(269 / 24 / (80 / 16))


def test_finetrainers_speed_up_is_predicted_and_gone_after_a_cut(
    dataset: SavedDataset, tmp_path: Path
) -> None:
    plan = plan_export(dataset, make_exporter("finetrainers"))
    assert plan.forecast.speeds[round(269 / 24 / (80 / 16), 2)] == 1
    settings = ExportSettings(RecutSettings(fps=Fraction(16)), cut_frames=True)
    plan = plan_export(dataset, make_exporter("finetrainers", frames=33), settings)
    plan.write(tmp_path / "out")
    assert plan.forecast.changed_speed == 0
    assert {s.frames for s in finetrainers(tmp_path / "out", 16)} == {tuple(range(33))}


def test_simpletuner_takes_8n_plus_1_for_wan() -> None:
    exporter = make_exporter("simpletuner", "wan2.1", frames=77)
    with pytest.raises(UsageError, match=r"--frames 77: SimpleTuner cuts wan2.1 to 8n\+1, here 73"):
        exporter.check([CLIP])
    exporter = make_exporter("simpletuner", "wan2.1")
    assert exporter.predict(replace(CLIP, frames=80)) == Dropped("fewer than 81 frames")


@pytest.mark.parametrize(
    ("fps_max", "fps", "rate"), [(16, 24, 12), (16, 30, 15), (24, 24, 24), (24, 30, 15)]
)
def test_opensora2_halves_rates_above_its_limit(fps_max: int, fps: int, rate: int) -> None:
    exporter = OpenSora2(Target.of("opensora2", frames=33), fps_max=fps_max)
    row = replace(CLIP, fps=Fraction(fps), drawings=tuple(range(81)))
    prediction = exporter.predict(row)
    assert isinstance(prediction, Seen)
    assert prediction.fps == rate
    assert speed(row, prediction) == pytest.approx(1, abs=0.04)
    assert lost_drawings(row, prediction) == (0 if rate == fps else 33)


def test_a_length_or_size_off_the_grid_is_said_with_the_next_ones() -> None:
    with pytest.raises(
        UsageError, match=r"--frames 80 is not on the grid of wan2.1, 4n\+1: take 77 or 81"
    ):
        make_exporter("folder", frames=80)
    with pytest.raises(UsageError, match=r"830x480: .* multiples of 16 pixels: take 832x480"):
        make_exporter("folder", size=(830, 480))
    with pytest.raises(UsageError, match=r"simpletuner does not train cogvideox: wan2.1"):
        make_exporter("simpletuner", "cogvideox")
    with pytest.raises(UsageError, match=r"--model 'wan' is not known: wan2.1, "):
        make_exporter("simpletuner", "wan")


def test_dropped_clips_are_counted_by_reason(dataset: SavedDataset) -> None:
    plan = plan_export(dataset, make_exporter("diffusion-pipe"))
    assert plan.forecast.dropped == Counter({"fewer than 17 frames at 16 fps": 2})
    assert plan.without_caption == 1
