"""Windows, crops, the index, the sampler: exact numbers on small cases."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from brickfilm.schema.frame_sampling import FrameSampling
from finetune.config import Bucket, Recipe
from finetune.data.bucket_coverage import MANY_EPOCHS, bucket_coverage
from finetune.data.buckets import assign_buckets
from finetune.data.index import Index, build_index, write_index
from finetune.data.readers import find_sources
from finetune.data.rows import DatasetRow
from finetune.data.sampler import BatchSpec, Sampler, SamplerState
from finetune.data.windows import (
    Window,
    conditioning_fps,
    random_window,
    resize_and_crop,
    spread_windows,
)
from finetune.errors import DataError
from tests.finetune.conftest import MakeRecipe
from tests.kit.toy_clips import Toy, encoded, write_dataset


def rows(count: int, *, frames: int = 40, height: int = 144, width: int = 256) -> list[DatasetRow]:
    return [
        DatasetRow(
            sha256=hashlib.sha256(str(n).encode()).digest(),
            caption=f"caption {n}",
            frames=frames,
            fps=Fraction(24),
            height=height,
            width=width,
            file="somewhere.parquet",
            row_group=0,
            row_in_group=n,
        )
        for n in range(count)
    ]


def sampler_of(index: Index, recipe: Recipe, seed: int = 0) -> Sampler:
    return Sampler(index, recipe, np.ones(len(index), dtype=bool), seed)


def test_a_window_spans_frames_times_interval_with_its_ends() -> None:
    def indices(total: int, frames: int, interval: int, uniform: float) -> list[int]:
        return random_window(total, frames, interval, uniform).frame_indices(total).tolist()

    assert [indices(129, 32, 4, 0.0)[n] for n in (0, -1)] == [0, 127]
    assert [indices(129, 32, 4, 0.999)[n] for n in (0, -1)] == [1, 128]
    assert indices(200, 4, 2, 0.0) == [0, 2, 4, 7]  # linspace 0..7, truncated
    assert indices(1, 1, 1, 0.7) == [0]


def test_windows_of_a_clip_are_spread_evenly_and_never_twice() -> None:
    assert [w.start for w in spread_windows(200, 9, 1, 1)] == [96]  # the middle one
    assert [w.start for w in spread_windows(200, 9, 1, 4)] == [96, 48, 144, 24]
    assert [w.start for w in spread_windows(11, 9, 1, 8)] == [1, 0, 2]
    assert spread_windows(1, 1, 1, 3) == [Window(0, 1, 1)]


def test_the_model_is_told_the_rate_of_the_frames_it_sees() -> None:
    fps, still = Fraction(24000, 1001), {"image_fps": 120.0}
    assert conditioning_fps(fps, fps / 4, frames=2, fps_source="sampled", **still) == float(fps) / 4
    assert conditioning_fps(fps, fps / 4, frames=32, fps_source="source", **still) == float(fps)
    assert conditioning_fps(fps, fps / 4, frames=1, fps_source="sampled", **still) == 120.0


def test_filling_covers_the_size_and_crops_the_centre() -> None:
    frames = torch.zeros(1, 3, 10, 30, dtype=torch.uint8)
    frames[..., 10:20] = 255  # the middle third
    filled = resize_and_crop(frames, 10, 10)
    assert filled.shape == (1, 3, 10, 10)
    assert filled.min() == 1.0
    assert resize_and_crop(frames, 20, 20).shape == (1, 3, 20, 20)


def test_keep_sends_a_clip_on_to_the_next_smaller_bucket() -> None:
    buckets = (
        Bucket(resolution="144p", frames=16, batch_size=1, keep_prob=0.5),
        Bucket(resolution="144p", frames=8, batch_size=1),
    )
    clips = (np.full(2, 100), np.full(2, 144), np.full(2, 256))
    uniform = np.array([[0.4, 0.6], [0.0, 0.0]])
    assigned = assign_buckets(*clips, buckets, sampling=FrameSampling(), uniform=uniform)
    assert (assigned // 17).tolist() == [0, 1]


def test_the_index_gives_back_what_was_written(tmp_path: Path) -> None:
    written = rows(50)
    index = write_index(written, tmp_path)
    assert [index.row(n) for n in range(50)] == written
    changed = [*written[:-1], rows(51)[-1]]
    assert write_index(changed, tmp_path / "b").fingerprint != index.fingerprint


def test_an_open_index_stays_as_it_is_when_another_is_written(tmp_path: Path) -> None:
    written = rows(50)
    index = write_index(written, tmp_path)
    assert len(write_index(rows(2, height=288), tmp_path)) == 2
    assert [index.row(n) for n in range(50)] == written
    with pytest.raises(DataError, match="not one has a caption"):
        write_index([], tmp_path)
    assert len(Index.open(tmp_path)) == 2
    names = {"clips.npy", "drawing_ends.npy", "drawings.npy", "index.json", "strings.bin"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_dataset_folder_is_read_without_its_test_split(toy_dataset: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", [Toy(frames=5), Toy(frames=6, caption=None)])
    write_dataset(folder, [Toy(frames=7)], name="test-0")
    index = build_index(str(folder), tmp_path / "index")
    assert index.clips["frames"].tolist() == [5]
    assert index.uncaptioned == 1


def test_a_dataset_without_captions_is_an_error(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", [Toy(frames=3, caption=None)])
    with pytest.raises(DataError, match="not one has a caption"):
        build_index(str(folder), tmp_path / "index")


def test_a_missing_dataset_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="make demo"):
        build_index("work/elsewhere/demo/dataset", tmp_path)


def test_a_csv_without_rates_asks_the_media(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(encoded(0, 9, 144, 256))
    with (tmp_path / "set.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "text", "num_frames", "height", "width", "fps"])
        writer.writeheader()
        writer.writerow({"path": "a.mp4", "text": "a plate", "num_frames": 9, "fps": ""})
    (source,) = find_sources(str(tmp_path / "set.csv"))
    (row,) = source.rows()
    assert isinstance(row, DatasetRow)
    assert (row.frames, row.fps, row.height, row.width) == (9, 24, 144, 256)


def test_a_row_that_cannot_be_read_is_left_out_named_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make_recipe: MakeRecipe
) -> None:
    (tmp_path / "a.mp4").write_bytes(encoded(0, 9, 144, 256))
    (tmp_path / "no.mp4").write_bytes(b"no film at all")
    rows = ["a.mp4,9,144,256,24", "gone.mp4,9,144,256,24", "a.mp4,nine,144,256,24", "no.mp4,,,,"]
    lines = [line.replace(",", ",a plate,", 1) for line in rows]
    head = "path,text,num_frames,height,width,fps"
    (tmp_path / "set.csv").write_text("\n".join([head, *lines, "", ",,,,,"]))
    index = build_index(str(tmp_path / "set.csv"), tmp_path / "index")
    assert (len(index), index.uncaptioned, index.unreadable) == (1, 0, 4)
    for message in ("gone.mp4, line 3 of", "a.mp4, line 4 of", "no.mp4, line 5 of"):
        assert message in caplog.text
    recipe = make_recipe(frame_interval=1)
    assert bucket_coverage(index, recipe).dropped == {"cannot be read": 4}


def test_a_table_that_is_damaged_is_named(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, [Toy(frames=3)])
    table = folder / "clips" / "train-0.parquet"
    table.write_bytes(table.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"train-0\.parquet cannot be read .*download it again"):
        build_index(str(folder), tmp_path / "index")


def test_every_clip_comes_once_a_pass(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    index = write_index(rows(10), tmp_path)
    drawn = [
        clip
        for spec in islice(sampler_of(index, make_recipe()).batch_specs(SamplerState()), 5)
        for clip in spec.clips
    ]
    assert sorted(drawn) == list(range(10))


def test_every_clip_has_another_place_and_seed_in_the_next_pass(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    sampler = sampler_of(write_index(rows(10), tmp_path), make_recipe())
    drawn = _drawn(list(islice(sampler.batch_specs(SamplerState()), 10)))
    first, second = drawn[:10], drawn[10:]
    assert sorted(clip for clip, _ in first) == sorted(clip for clip, _ in second)
    assert [clip for clip, _ in first] != [clip for clip, _ in second]
    assert len({seed for _, seed in drawn}) == 20


def _drawn(batch_specs: list[BatchSpec]) -> list[tuple[int, int]]:
    return [pair for spec in batch_specs for pair in zip(spec.clips, spec.seeds, strict=True)]


def test_position_counts_samples_so_ranks_may_change(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    sampler = sampler_of(write_index(rows(11), tmp_path), make_recipe())
    alone = list(islice(sampler.batch_specs(SamplerState()), 6))
    together = [
        list(islice(sampler.batch_specs(SamplerState(), rank=r, world_size=2), 1)) for r in (0, 1)
    ]
    assert _drawn(together[0] + together[1]) == _drawn(alone[:2])
    assert together[0][0].sampler_state.drawn == alone[1].sampler_state.drawn
    rest = list(islice(sampler.batch_specs(together[0][0].sampler_state), 4))
    assert _drawn(rest) == _drawn(alone[2:])


def test_slots_take_turns_by_their_size(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    wide, tall = rows(30), rows(10, height=256, width=144)
    index = write_index(wide + tall, tmp_path)
    batch_specs = list(islice(sampler_of(index, make_recipe()).batch_specs(SamplerState()), 20))
    assert sum(spec.aspect_bucket.ratio == "1.78" for spec in batch_specs) == 5


def test_many_epochs_are_counted_in_words(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    video, image = (Bucket(resolution="144p", frames=n, batch_size=b) for n, b in ((4, 2), (1, 8)))
    index = write_index(rows(4) + rows(2, frames=1), tmp_path)
    recipe = make_recipe(buckets=(video, image), steps=900)
    # 4 / 2 to 2 / 8 steps: eight ninths of two clips, a ninth of eight
    epochs = bucket_coverage(index, recipe).epochs(recipe, ranks=5)
    assert str(epochs) == "12,000 samples = 2,000 epochs over 6 usable clips"
    assert epochs.count > MANY_EPOCHS


def two_shapes(folder: Path) -> Index:
    return write_index(rows(30) + rows(10, height=256, width=144), folder)


def ratios(sampler: Sampler, state: SamplerState, count: int, world_size: int = 1) -> list[str]:
    specs = islice(sampler.batch_specs(state, world_size=world_size), count)
    return [spec.aspect_bucket.name for spec in specs]


def test_any_number_of_ranks_has_the_same_order_of_buckets(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    sampler = sampler_of(two_shapes(tmp_path), make_recipe())
    alone = ratios(sampler, SamplerState(), 40)
    assert len(set(alone)) == 2
    for world_size in (2, 3, 8):
        assert ratios(sampler, SamplerState(), 40, world_size) == alone
    (bucket,) = make_recipe().buckets
    half = make_recipe(buckets=(replace(bucket, batch_size=bucket.batch_size // 2),))
    assert ratios(sampler_of(two_shapes(tmp_path), half), SamplerState(), 40, 2) == alone


def test_a_run_of_before_steps_were_counted_keeps_its_order(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    sampler = sampler_of(two_shapes(tmp_path), make_recipe())
    old = ratios(sampler, SamplerState(steps=None), 12)
    assert [name[-4:] for name in old].count("1.78") == 3
    assert old != ratios(sampler, SamplerState(), 12)


def test_a_bucket_added_to_a_run_is_drawn_at_its_share(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    stills = rows(15, frames=1)
    index = write_index(rows(30) + stills, tmp_path)
    video, image = (Bucket(resolution="144p", frames=n, batch_size=1) for n in (4, 1))
    before = sampler_of(index, make_recipe(buckets=(video,)))
    *_, last = islice(before.batch_specs(SamplerState()), 100)
    after = sampler_of(index, make_recipe(buckets=(video, image)))
    state = after.admit(last.sampler_state, {str(image)})
    assert state.samples == 100
    drawn = ratios(after, state, 45)
    assert sum("x 1 @" in name for name in drawn) == pytest.approx(15, abs=1)
    *_, later = islice(after.batch_specs(state), 45)
    assert later.sampler_state.samples == 145


def test_a_bucket_without_clips_is_refused_with_settings_that_have_some(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    index = write_index(rows(3, frames=16) + rows(2, height=60, width=100), tmp_path)
    kept = bucket_coverage(index, make_recipe())
    assert kept.clips_per_bucket == {"144p x 4": 3}
    assert kept.dropped == {"under 80 % of the bucket's pixels": 2}

    def refused(*buckets: Bucket, **masks: NDArray[np.bool_]) -> str:
        with pytest.raises(DataError) as told:
            bucket_coverage(index, make_recipe(buckets=buckets), masks)
        assert "\n" not in str(told.value)
        return str(told.value)

    long = Bucket(resolution="144p", frames=16, batch_size=1)
    shorter = "the longest has 16 and needs > 32 frames: set buckets.0.frames=7, or lower"
    assert f"3 too short for every bucket): {shorter}" in refused(long)
    assert ", or the largest has 100 x 60 pixels: scale it up, or remove the" in refused(long)
    large = replace(long, resolution="360p", frames=4)
    assert "the largest has 256 x 144 pixels: set buckets.1.resolution=144p, or" in refused(
        replace(long, frames=4), large
    )
    neither = refused(replace(long, resolution="360p", frames=20))
    assert "set buckets.0.frames=19" in neither
    assert ", and the largest has 256 x 144 pixels: set buckets.0.resolution=144p" in neither
    none = np.ones(len(index), np.bool_)
    assert "run `finetune cache RECIPE`, or" in refused(replace(long, frames=4), cached=none)
