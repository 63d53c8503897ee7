"""Clips that are cut anew show exactly the planned drawings, at the planned times and size."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brickfilm.dataset.reader import SavedDataset, find_dataset
from brickfilm.errors import UsageError
from brickfilm.export import (
    ExportPlan,
    ExportResult,
    ExportSettings,
    RecutSettings,
    make_exporter,
    plan_export,
)
from brickfilm.export.base import predict_rows
from brickfilm.export.recut import parse_crop, parse_fps
from brickfilm.media import VerificationError
from brickfilm.media.crop_scale import picture_box
from brickfilm.schema.frame_sampling import modal_hold, resample
from tests.kit.numbered_clips import NumberedClip, numbered_dataset, numbers_in

ONES, TWOS, UNEVEN, BARS, UPRIGHT = 40, 41, 42, 43, 44
CLIPS = (
    NumberedClip(ONES),
    NumberedClip(TWOS, holds=(2,)),
    NumberedClip(UNEVEN, holds=(2, 2, 6)),
    NumberedClip(BARS, width=160, height=120, bars=14),
    NumberedClip(UPRIGHT, fps=Fraction(24000, 1001), width=96, height=160),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SavedDataset:
    work = tmp_path_factory.mktemp("work")
    numbered_dataset(work, CLIPS)
    return find_dataset(work)


def test_a_crop_that_leaves_nothing_drops_the_clip(dataset: SavedDataset) -> None:
    settings = ExportSettings(RecutSettings(crop=Fraction(1, 1000)))
    plan = plan_export(dataset, make_exporter("folder"), settings)
    assert not plan.used
    assert set(plan.forecast.dropped) == {"nothing left of the picture by an aspect of 1/1000"}


def export(
    dataset: SavedDataset, out: Path, *, frames: int | None = None, **recut: object
) -> tuple[ExportPlan, ExportResult]:
    exporter = make_exporter("folder", frames=frames)
    change = RecutSettings(**recut)  # type: ignore[arg-type]
    plan = plan_export(dataset, exporter, ExportSettings(change, cut_frames=frames is not None))
    return plan, plan.write(out)


def exported(plan: ExportPlan, out: Path) -> dict[int, Path]:
    """Return the file of each clip by its number of frames in the dataset."""
    return {row.columns["num_frames"]: out / "clips" / row.file_name for row, _ in plan.used}


def times_of(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == stream.base_rate
        return [frame.pts * frame.time_base for frame in container.decode(stream)]


def test_each_drawing_once_at_its_own_rate(dataset: SavedDataset, tmp_path: Path) -> None:
    plan, _ = export(dataset, tmp_path / "out", fps="drawings")
    files = exported(plan, tmp_path / "out")
    for clip in CLIPS:
        drawings = len(clip.drawings)
        assert numbers_in(files[clip.frames]) == list(range(drawings))
    assert times_of(files[TWOS]) == [Fraction(n, 12) for n in range(21)]
    assert times_of(files[ONES]) == [Fraction(n, 24) for n in range(40)]
    assert plan.forecast.drawings_lost == 0
    assert plan.forecast.speeds == Counter({1.0: 4, 1.67: 1})  # the long holds are shorter


def test_at_a_lower_rate_no_hold_of_twos_is_cut_to_nothing(
    dataset: SavedDataset, tmp_path: Path
) -> None:
    plan, _ = export(dataset, tmp_path / "out", fps=Fraction(16))
    files = exported(plan, tmp_path / "out")
    shown = numbers_in(files[TWOS])
    assert len(shown) == TWOS * 16 // 24
    assert sorted(set(shown)) == list(range(21 if TWOS * 16 % 24 == 0 else max(shown) + 1))
    assert set(Counter(shown).values()) <= {1, 2}
    assert times_of(files[TWOS]) == [Fraction(n, 16) for n in range(len(shown))]
    uneven = Counter(numbers_in(files[UNEVEN]))
    assert all(uneven[n] == 4 for n in (2, 5, 8))
    assert plan.forecast.speeds == Counter({1.0: 5})


def test_a_higher_rate_repeats_whole_frames(dataset: SavedDataset, tmp_path: Path) -> None:
    plan, _ = export(dataset, tmp_path / "out", fps=Fraction(48))
    shown = numbers_in(exported(plan, tmp_path / "out")[ONES])
    assert shown == [n // 2 for n in range(2 * ONES)]


@settings(max_examples=60)
@given(
    holds=st.lists(st.integers(1, 7), min_size=1, max_size=40),
    source=st.sampled_from((24, 25, 30, Fraction(24000, 1001), 12)),
    target=st.sampled_from((8, 12, 15, 16, 24, 25, 60)),
)
def test_resampling_keeps_time_and_every_hold_that_has_room(
    holds: list[int], source: Fraction, target: int
) -> None:
    frames, ratio = sum(holds), Fraction(target) / source
    starts = tuple(sum(holds[:n]) for n in range(len(holds)))
    shown = resample(frames, starts, Fraction(source), Fraction(target))
    assert len(shown) == max(1, int(frames * ratio))
    assert list(shown) == sorted(shown)
    for slot, frame in enumerate(shown):
        assert abs(frame - slot / ratio) <= 1 + 1 / ratio
    if all(hold * ratio >= 1 for hold in holds):
        drawn = {sum(start <= frame for start in starts) for frame in shown}
        assert drawn == set(range(1, max(drawn) + 1))


def test_a_short_hold_moves_its_neighbour_by_one_frame_and_is_kept() -> None:
    """The drawings at 4 and 5 both begin nearest to new frame 3; the second one waits for 4."""
    shown = resample(12, (0, 4, 5, 9), Fraction(24), Fraction(16))
    assert shown == (0, 1, 3, 4, 5, 6, 9, 10)


def test_without_measured_drawings_each_frame_counts_as_one() -> None:
    assert resample(12, (), Fraction(24), Fraction(12)) == tuple(range(0, 12, 2))
    assert modal_hold(()) == 1
    assert modal_hold((0, 2, 4, 7, 10)) == 2


def test_clips_are_cut_to_the_length_and_one_frame_more(
    dataset: SavedDataset, tmp_path: Path
) -> None:
    plan, _ = export(dataset, tmp_path / "out", frames=33)
    for path in exported(plan, tmp_path / "out").values():
        assert len(times_of(path)) == 34
    shown = numbers_in(exported(plan, tmp_path / "out")[ONES])
    assert shown == list(range(34))


def test_black_bars_are_cut_off(dataset: SavedDataset, tmp_path: Path) -> None:
    plan, _ = export(dataset, tmp_path / "out", crop="letterbox")
    files = exported(plan, tmp_path / "out")
    with av.open(str(files[BARS])) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert frames[0].shape == (92, 160)
    assert frames[0].min() > 40
    assert len(frames) == BARS
    (row,) = (row for row, _ in plan.used if row.frames == ONES)
    assert row.recut is None  # nothing to cut off: the bytes are copied
    assert files[ONES].read_bytes() == (dataset.work / "clips/clip0.mp4").read_bytes()  # type: ignore[operator]


def test_an_aspect_and_a_box_are_cropped_where_they_should(
    dataset: SavedDataset, tmp_path: Path
) -> None:
    plan, _ = export(dataset, tmp_path / "out", crop=Fraction(1, 1))
    assert {(row.width, row.height) for row, _ in plan.used} == {(96, 96), (120, 120)}
    plan, _ = export(dataset, tmp_path / "box", crop=(32, 0, 32, 96))
    with av.open(str(exported(plan, tmp_path / "box")[ONES])) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    for bit, left in ((2, 2), (3, 18)):  # the third and the fourth of ten columns
        bright = [bool(frame[:, left : left + 12].mean() > 110) for frame in frames]
        assert bright == [bool(n >> bit & 1) for n in range(ONES)]


def test_a_size_is_cropped_and_scaled_down_never_up(dataset: SavedDataset, tmp_path: Path) -> None:
    plan, _ = export(dataset, tmp_path / "out", size=(128, 64))
    sizes = {row.columns["num_frames"]: (row.width, row.height) for row, _ in plan.used}
    assert sizes == {ONES: (128, 64), TWOS: (128, 64), UNEVEN: (128, 64), BARS: (128, 64),
                     UPRIGHT: (64, 128)}  # fmt: skip
    assert numbers_in(exported(plan, tmp_path / "out")[ONES]) == list(range(ONES))
    plan = plan_export(
        dataset, make_exporter("folder"), ExportSettings(RecutSettings(size=(320, 160)))
    )
    assert plan.forecast.dropped == Counter(
        {
            "smaller than 320x160, and no clip is scaled up": 4,
            "smaller than 160x320, and no clip is scaled up": 1,
        }
    )


def test_names_change_with_the_settings_and_files_repeat(
    dataset: SavedDataset, tmp_path: Path
) -> None:
    first, _ = export(dataset, tmp_path / "a", fps=Fraction(16))
    again, _ = export(dataset, tmp_path / "b", fps=Fraction(16))
    other, _ = export(dataset, tmp_path / "c", fps=Fraction(12))
    for one, two, three in zip(*(p.used for p in (first, again, other)), strict=True):
        assert one[0].file_name == two[0].file_name != three[0].file_name
        assert (tmp_path / "a/clips" / one[0].file_name).read_bytes() == (
            tmp_path / "b/clips" / two[0].file_name
        ).read_bytes()


def test_another_setting_replaces_the_clips_of_the_same_export(
    dataset: SavedDataset, tmp_path: Path
) -> None:
    export(dataset, tmp_path / "out", fps=Fraction(16))
    plan, _ = export(dataset, tmp_path / "out", fps=Fraction(12))
    there = {path.name for path in (tmp_path / "out/clips").iterdir()}
    assert there == {f"{row.stem}.{kind}" for row, _ in plan.used for kind in ("mp4", "txt")}


def test_colours_survive(tmp_path: Path) -> None:
    clip = NumberedClip(4, width=640, height=320, color=(200, 190, 60))
    numbered_dataset(tmp_path / "work", [clip])
    plan, _ = export(find_dataset(tmp_path / "work"), tmp_path / "out", size=(320, 160))
    with av.open(str(exported(plan, tmp_path / "out")[4])) as container:
        frame = list(container.decode(video=0))[1]
    bright = frame.to_ndarray(format="rgb24")[10:150, 4:28].reshape(-1, 3)
    assert np.abs(np.median(bright, axis=0) - (200, 190, 60)).max() <= 6


def tone_begins(path: Path) -> float | None:
    """Return the second at which sound becomes loud, None without sound."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        frames = [f.to_ndarray()[0] for f in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    return float(np.flatnonzero(np.abs(np.concatenate(frames)) > 0.2)[0]) / rate


def test_sound_stays_where_it_was_unless_times_change(tmp_path: Path) -> None:
    numbered_dataset(tmp_path / "work", [NumberedClip(48, has_tone=True)])
    dataset = find_dataset(tmp_path / "work")
    for name, change in {"a": {"fps": Fraction(16)}, "b": {"size": (80, 48)}}.items():
        plan, _ = export(dataset, tmp_path / name, **change)
        begins = tone_begins(exported(plan, tmp_path / name)[48])
        assert begins == pytest.approx(1, abs=0.03)
    plan, _ = export(dataset, tmp_path / "c", fps="drawings", size=(80, 48))
    assert tone_begins(exported(plan, tmp_path / "c")[48]) is None


def test_a_clip_with_fewer_frames_than_its_row_is_an_error_and_leaves_no_file(
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    numbered_dataset(work, [NumberedClip(20)])
    dataset = find_dataset(work)
    plan = plan_export(
        dataset, make_exporter("folder"), ExportSettings(RecutSettings(fps=Fraction(12)))
    )
    row = plan.used[0][0]
    assert row.recut is not None
    object.__setattr__(row.recut, "frames", (*row.recut.frames[:-1], 25))
    with pytest.raises(VerificationError, match=r"fewer frames than its row says .* validate"):
        plan.write(tmp_path / "out")
    assert not list((tmp_path / "out/clips").iterdir())


def test_drawings_that_were_not_measured_are_said(tmp_path: Path) -> None:
    work = tmp_path / "work"
    numbered_dataset(work, [NumberedClip(20)])
    plan = plan_export(find_dataset(work), make_exporter("folder"))
    object.__setattr__(plan.rows[0], "drawings", ())
    once = ExportSettings(RecutSettings(fps="drawings"))
    with pytest.raises(UsageError, match=r"has no `new_drawings`: build the dataset again"):
        predict_rows(plan.rows, plan.exporter, once)


@pytest.mark.parametrize("text", ["1/0", "-3", "inf", "nan", "1e9", "", "twelve"])
def test_a_rate_that_is_none_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="give 'drawings', or a rate"):
        parse_fps(text)


def test_options_are_parsed() -> None:
    assert RecutSettings(fps=16) == RecutSettings(fps=Fraction(16))
    assert RecutSettings(fps=23.976).fps == Fraction("23.976")
    with pytest.raises(UsageError, match="give 'drawings', or a rate"):
        RecutSettings(fps=0)
    assert parse_fps("23.976") == Fraction("23.976")
    assert parse_fps("24000/1001") == Fraction(24000, 1001)
    assert parse_crop("16:9") == Fraction(16, 9)
    assert parse_crop("0,2,64,48") == (0, 2, 64, 48)


def test_a_black_frame_has_no_bars() -> None:
    black = np.full((40, 60), 16, np.uint8)
    assert picture_box([black]) == (0, 0, 60, 40)
    framed = black.copy()
    framed[7:31, 5:60] = 120
    assert picture_box([black, framed]) == (6, 8, 54, 22)
