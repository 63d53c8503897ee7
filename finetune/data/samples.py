"""A sample: the window of a clip that a training step reads, with its caption and frame rate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from finetune.config import Recipe
from finetune.data.buckets import AspectBucket
from finetune.data.cache_layout import bucket_interval, clip_windows, frame_numbers, frames_seen
from finetune.data.rows import DatasetRow
from finetune.data.windows import Window, conditioning_fps, random_window, resize_and_crop
from finetune.models import Family
from finetune.models.family import TensorDict


@dataclass(frozen=True)
class LoadTimes:
    """Times and bytes of loading one sample, or their sums over several."""

    read_s: float = 0.0  # seconds of waiting for encoded bytes, from disk or network
    read_bytes: int = 0
    decode_s: float = 0.0  # seconds of decoding and resizing

    def __add__(self, other: LoadTimes) -> LoadTimes:
        """Return the sums."""
        return LoadTimes(
            self.read_s + other.read_s,
            self.read_bytes + other.read_bytes,
            self.decode_s + other.decode_s,
        )


class Sample(NamedTuple):
    """A window of a clip, as named tensors."""

    window: TensorDict  # "pixels" [T, 3, H, W] in [-1, 1], or what the codec gives of them
    text: TensorDict  # states of the caption; empty if they are not cached
    caption: str
    fps: float
    times: LoadTimes = LoadTimes()


def sample_window(
    row: DatasetRow, aspect_bucket: AspectBucket, seed: int, recipe: Recipe, family: Family
) -> tuple[Window, float]:
    """Return a window of a clip, which `seed` chooses, and its conditioning frame rate.

    It is any window, or one of those whose latents a cache holds.
    """
    bucket, total = aspect_bucket.bucket, frames_seen(row, recipe)
    uniform = float(np.random.default_rng(seed).random())
    if family.frame_latents:
        window = random_window(total, bucket.frames, bucket_interval(bucket, recipe), uniform)
    else:
        windows = clip_windows(total, bucket, recipe)
        window = windows[int(uniform * len(windows))]
    fps = conditioning_fps(
        row.fps,
        recipe.frame_sampling.fps_shown(row.fps, row.drawings),
        frames=bucket.frames,
        fps_source=recipe.fps,
        image_fps=family.image_fps,
    )
    return window, fps


def load_pixels(
    row: DatasetRow,
    read: Callable[[], bytes],
    window: Window,
    size: tuple[int, int],
    recipe: Recipe,
) -> tuple[Tensor, LoadTimes]:
    """Read and decode a window: [T, 3, H, W] float32 in [-1, 1] of this (H, W).

    read: returns the encoded media. Raise BadSample if it does not decode as its row says.
    """
    from finetune.data.media import decode_frames

    began = time.perf_counter()
    media = read()
    has_read = time.perf_counter()
    numbers = frame_numbers(row, window, recipe)
    frames = decode_frames(media, numbers, (row.height, row.width))
    pixels = resize_and_crop(frames, *size)
    decode_s = time.perf_counter() - has_read
    return pixels, LoadTimes(has_read - began, len(media), decode_s)
