"""The bucket rules that both halves share."""

from __future__ import annotations

import numpy as np

from brickfilm.schema.buckets import (
    is_large_enough,
    is_long_enough,
    nominal_pixels,
    resolutions,
    sort_buckets,
)
from brickfilm.schema.frame_sampling import FrameSampling
from brickfilm.schema.training_recipe import RecipeBucket

PIXELS = {
    "144p": 36_864,
    "256": 65_536,
    "240p": 102_240,
    "360p": 230_400,
    "512": 262_144,
    "480p": 409_920,
    "720p": 921_600,
    "1024": 1_048_576,
    "1080p": 2_073_600,
    "4k": 8_294_400,
}


def test_nominal_pixels_are_the_published_ones_and_order_the_resolutions() -> None:
    assert {name: nominal_pixels(name) for name in resolutions()} == PIXELS
    assert resolutions() == tuple(PIXELS)


def test_clips_try_the_largest_then_the_longest_bucket_first() -> None:
    buckets = [RecipeBucket(*b) for b in (("256", 64), ("360p", 1), ("360p", 32))]
    assert [str(b) for b in sort_buckets(buckets)] == ["360p x 32", "360p x 1", "256 x 64"]


def test_a_clip_needs_more_than_frames_times_interval_and_an_image_an_image_bucket() -> None:
    frames = np.array([1, 64, 65, 128, 129])
    video, image = RecipeBucket("360p", 32), RecipeBucket("360p", 1)
    sampling = FrameSampling(interval=4)
    assert is_long_enough(video, frames, sampling).tolist() == [False] * 4 + [True]
    assert is_long_enough(image, frames, sampling).tolist() == [True] + [False] * 4


def test_four_fifths_of_the_pixels_are_enough() -> None:
    bucket = RecipeBucket("360p", 32)
    assert is_large_enough(bucket, 288, 640)
    assert not is_large_enough(bucket, 288, 639)
