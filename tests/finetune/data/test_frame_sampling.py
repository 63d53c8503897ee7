"""Clips are seen at the speed that a model plays, or each drawing once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brickfilm.digest import without_digest
from brickfilm.schema.frame_sampling import FrameSampling, resample
from finetune.config import Bucket, Recipe
from finetune.data.bucket_coverage import bucket_coverage
from finetune.data.buckets import recipe_aspect_buckets
from finetune.data.cache import build_cache
from finetune.data.cache_layout import (
    clip_shapes,
    frame_numbers,
    index_dataset,
    index_folder,
    latent_key,
)
from finetune.data.index import build_index
from finetune.data.loader import SampleLoader
from finetune.data.sampler import BatchSpec, SamplerState
from finetune.data.samples import Sample
from finetune.data.windows import Window
from finetune.errors import ConfigError, DataError
from finetune.training.loop import train
from tests.finetune.conftest import MakeRecipe
from tests.kit.numbered_clips import NumberedClip, number_of, numbered_dataset

FRAMES = 36
HOLDS = {"ones": (1,), "twos": (2,), "uneven": (3, 1, 2)}
MakeSampled = Callable[..., Recipe]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of 36 frames at 24 fps, whose drawings show their number, and a test split."""
    work = tmp_path_factory.mktemp("films")
    size = {"width": 256, "height": 144}
    clips = [NumberedClip(FRAMES, holds=holds, **size) for holds in HOLDS.values()]
    numbered_dataset(work, [*clips, NumberedClip(20, **size)])
    return work / "dataset"


@pytest.fixture
def make_sampled(make_recipe: MakeRecipe, films: Path) -> MakeSampled:
    """A recipe for the films, with windows of 9 frames."""
    buckets = (Bucket(resolution="144p", frames=9, batch_size=2),)
    films_recipe = {"dataset": str(films), "buckets": buckets, "frame_interval": 1}
    return lambda **fields: make_recipe(**{**films_recipe, **fields})


def samples(recipe: Recipe) -> list[Sample]:
    """Load a sample of each clip, as decoded pixels."""
    recipe = replace(recipe, latents="online")
    index = index_dataset(recipe)
    (bucket,) = {b for b in recipe_aspect_buckets(recipe) if b.size == (144, 256)}
    every = range(len(index))
    spec = BatchSpec(bucket, tuple(every), tuple(every), SamplerState())
    batch = SampleLoader(index_folder(recipe), recipe, index)(spec)
    assert batch.skipped == ()
    return list(batch.samples)


def numbers_shown(sample: Sample) -> list[int]:
    """Return the drawing's number that each frame of a sample shows."""
    grey = (sample.window["pixels"].mean(1).numpy() + 1) * 127.5
    return [number_of(frame) for frame in grey]


def drawn_at(holds: tuple[int, ...], frames: tuple[int, ...]) -> list[int]:
    """Return the number of the drawing at each frame of a clip."""
    starts = NumberedClip(FRAMES, holds=holds).drawings
    return (np.searchsorted(starts, frames, side="right") - 1).tolist()


def test_frames_are_chosen_by_time(make_sampled: MakeSampled) -> None:
    recipe = make_sampled(sampling="time", target_fps=16.0)
    shown = sorted(numbers_shown(sample) for sample in samples(recipe))
    seen = []
    for holds in HOLDS.values():
        clip = NumberedClip(FRAMES, holds=holds)
        at_16 = resample(FRAMES, clip.drawings, Fraction(24), Fraction(16))
        assert len(at_16) == 24
        numbers = drawn_at(holds, at_16)
        seen.append([numbers[n : n + 9] for n in range(16)])
    assert all(any(window in places for places in seen) for window in shown)
    assert {sample.fps for sample in samples(recipe)} == {16.0}


def test_each_drawing_is_shown_once(make_sampled: MakeSampled) -> None:
    recipe = make_sampled(sampling="pose")
    for sample in samples(recipe):
        numbers = numbers_shown(sample)
        assert numbers == list(range(numbers[0], numbers[0] + 9))
    assert sorted(sample.fps for sample in samples(recipe)) == [12.0, 24.0, 24.0]  # uneven: ones
    assert clip_shapes(index_dataset(recipe), recipe)[0].tolist() == counts_of(recipe)


def counts_of(recipe: Recipe) -> list[int]:
    """Return the number of drawings of each row, by the sampling's own frames."""
    index, sampling = index_dataset(recipe), recipe.frame_sampling
    rows = [index.row(n) for n in range(len(index))]
    return [len(sampling.shown(row.frames, row.fps, row.drawings)) for row in rows]


def test_a_window_of_exactly_the_drawings_that_a_clip_has_fits(make_sampled: MakeSampled) -> None:
    def usable(frames: int, **fields: object) -> int:
        bucket = Bucket(resolution="144p", frames=frames, batch_size=1)
        recipe = make_sampled(buckets=(bucket,), **fields)
        return int(bucket_coverage(index_dataset(recipe), recipe).usable.sum())

    assert usable(18, sampling="pose") == 3  # all have 18 drawings or more
    assert usable(19, sampling="pose") == 1  # on ones
    assert usable(24, sampling="time", target_fps=16.0) == 3
    assert usable(36, sampling="time", target_fps=24.0) == 3
    assert usable(35, sampling="interval") == 3  # one frame more than the window
    with pytest.raises(DataError, match=r"no clip for bucket 144p x 36 .*the longest has 36"):
        usable(36, sampling="interval")


def test_a_clip_whose_drawings_were_not_measured_is_counted_as_such(
    make_recipe: MakeRecipe,
) -> None:
    with pytest.raises(DataError, match=r"6 +its drawings were not measured \(sampling = 'pose'\)"):
        recipe = make_recipe(sampling="pose", frame_interval=1)
        bucket_coverage(index_dataset(recipe), recipe)
    timed = make_recipe(sampling="time", target_fps=12.0, frame_interval=1)  # frames are drawings
    assert set(bucket_coverage(index_dataset(timed), timed).clips_per_bucket.values()) == {6}


def test_consecutive_frames_share_the_key_of_an_even_window() -> None:
    media = bytes(32)
    even = latent_key(media, Window(3, 1, 9))
    assert even == hashlib.sha256(f"{'0' * 64} 3 1 9".encode()).hexdigest()  # of every cache
    assert latent_key(media, Window(0, 1, 9), range(3, 12)) == even
    twos = latent_key(media, Window(0, 1, 9), range(0, 18, 2))
    threes = latent_key(media, Window(0, 1, 9), range(0, 27, 3))
    assert len({even, twos, threes, latent_key(media, Window(0, 2, 9))}) == 4


def test_a_cache_is_shared_by_all_that_see_the_same_frames(make_sampled: MakeSampled) -> None:
    fields = {"family": "tests.kit.toy_family:TOY", "text_tokens": 8, "windows_per_clip": 2}
    network = replace(make_sampled().network, depth=2, hidden_size=24)
    plain = make_sampled(**fields, network=network, steps=2)
    assert build_cache(plain).clips == 6
    at_24 = replace(plain, sampling="time", target_fps=24.0)
    starts = [frame_numbers(row, Window(4, 1, 9), at_24)[0] for row in rows_of(at_24)]
    assert starts == [4, 4, 4]
    more = build_cache(
        at_24
    )  # one window more fits: the places of the second shift by half a frame
    assert more.clips == 0
    at_16 = replace(plain, sampling="time", target_fps=16.0)
    assert (build_cache(at_16).clips, build_cache(at_16).clips) == (6, 0)
    posed = replace(plain, sampling="pose")
    assert build_cache(posed).clips == 4  # those on ones are there
    assert train(posed)["steps"] == 2


def rows_of(recipe: Recipe) -> list[object]:
    index = index_dataset(recipe)
    return [index.row(number) for number in range(len(index))]


def test_an_index_without_drawings_is_made_anew_where_they_are_needed(
    films: Path, tmp_path: Path
) -> None:
    build_index(str(films), tmp_path)
    for name in ("drawings.npy", "drawing_ends.npy"):
        (tmp_path / name).unlink()
    about = without_digest(json.loads((tmp_path / "index.json").read_text()))
    old = {name: value for name, value in about.items() if name != "files"}
    (tmp_path / "index.json").write_text(json.dumps(old))  # as an older version left it
    assert build_index(str(films), tmp_path).row(0).drawings == ()
    assert len(build_index(str(films), tmp_path, drawings=True).row(0).drawings) >= 18


@pytest.mark.parametrize("drawings", [[0, 4, 2], [0, 20], [-1, 3]])
def test_drawings_that_cannot_be_are_named(tmp_path: Path, drawings: list[int]) -> None:
    row = {"sha256": "0" * 64, "video": b"", "caption": "a brick", "num_frames": 20,
           "fps_num": 24, "fps_den": 1, "height": 144, "width": 256,
           "new_drawings": drawings}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "train.parquet")
    with pytest.raises(
        DataError, match=r"its new_drawings \[.*\] are not rising numbers of its 20"
    ):
        build_index(str(tmp_path), tmp_path / "index")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sampling": "time"}, "set target_fps to the frames a second"),
        ({"target_fps": 16.0}, "sampling 'interval' and target_fps 16: set"),
        ({"sampling": "pose", "frame_interval": 2}, "frame_interval 2 is of sampling 'interval'"),
    ],
)
def test_settings_that_contradict_each_other_are_named(
    make_sampled: MakeSampled, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_sampled(**fields)


@pytest.mark.parametrize("target", [Fraction(16), Fraction(24000, 1001)])
def test_what_is_counted_is_what_is_shown(target: Fraction) -> None:
    sampling, lengths = FrameSampling("time", target_fps=target), np.arange(2, 200, 13)
    for fps in (Fraction(24), Fraction(30000, 1001), Fraction(12), Fraction(25)):
        rate = np.array(fps.numerator), np.array(fps.denominator)
        counted = sampling.count(lengths, rate, np.zeros(len(lengths), np.int64)).tolist()
        shown = [len(sampling.shown(n, fps, ())) for n in lengths.tolist()]
        assert counted == [n if n > 1 else 0 for n in shown]
