"""Folders of a latent cache, and how training opens them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brickfilm.schema.frame_sampling import FrameSampling
from finetune.config import Bucket, Recipe
from finetune.data.buckets import aspect_buckets, assign_buckets, recipe_aspect_buckets
from finetune.data.index import Index, build_index
from finetune.data.rows import DatasetRow
from finetune.data.shards import ABOUT_FILE, ShardReader, read_about
from finetune.data.windows import Window, spread_windows
from finetune.errors import CacheError
from finetune.models import find_family

TOKENS_ENTRY = "text_tokens"  # of a text store's about.json
NAMES_ENTRY = "other_names"  # under which the same encoder was cached too


def caption_key(caption: str) -> str:
    """Return the key of a caption's states."""
    return hashlib.sha256(caption.encode()).hexdigest()


def latent_key(sha256: bytes, window: Window | None, numbers: Sequence[int] = ()) -> str:
    """Return the key of a window's latents, whose store is of one encoder and size.

    window: None is the whole clip frame by frame, whose key is the digest of its media. numbers: of
    the frames of a window that is no even one; consecutive frames have the key of an even window.
    """
    if window is None:
        return sha256.hex()
    place: Sequence[object] = window
    if numbers:
        is_even = list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))
        place = (numbers[0], 1, len(numbers)) if is_even else ("frames", *numbers)
    text = " ".join(map(str, (sha256.hex(), *place)))
    return hashlib.sha256(text.encode()).hexdigest()


def window_key(row: DatasetRow, window: Window | None, recipe: Recipe) -> str:
    """Return the key of what training reads of a clip."""
    if window is None or recipe.sampling == "interval":
        return latent_key(row.sha256, window)
    return latent_key(row.sha256, window, frame_numbers(row, window, recipe).tolist())


def frame_numbers(row: DatasetRow, window: Window, recipe: Recipe) -> NDArray[np.int64]:
    """Return the numbers of a window's frames in the clip's file."""
    if recipe.sampling == "interval":
        return window.frame_indices(row.frames)
    shown = _frames_shown(recipe.frame_sampling, row.frames, row.fps, row.drawings)
    return np.array(shown)[window.frame_indices(len(shown))]


@lru_cache(maxsize=1024)
def _frames_shown(
    sampling: FrameSampling, frames: int, fps: Fraction, drawings: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the frames that are seen of a clip: a millisecond, and all its windows need them."""
    return sampling.shown(frames, fps, drawings)


def index_folder(recipe: Recipe) -> Path:
    """Return the folder of the dataset's index, inside the cache."""
    name = hashlib.sha256(recipe.dataset.encode()).hexdigest()[:12]
    return Path(recipe.cache) / f"index-{name}"


def latent_folder(recipe: Recipe, digest: str, size: tuple[int, int]) -> Path:
    """Return the folder of latents by this VAE of frames of this (height, width)."""
    return Path(recipe.cache) / f"latents-{digest[:12]}" / f"{size[0]}x{size[1]}"


def text_folder(recipe: Recipe, digest: str) -> Path:
    """Return the folder of states by this text encoder."""
    return Path(recipe.cache) / f"text-{digest[:12]}"


ClipShapes = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def index_dataset(recipe: Recipe) -> Index:
    """Build or open the index of a recipe's dataset, with drawings if they are needed."""
    drawings = recipe.sampling != "interval"
    return build_index(recipe.dataset, index_folder(recipe), drawings=drawings)


def clip_shapes(index: Index, recipe: Recipe) -> ClipShapes:
    """Return frames seen, height and width of every clip, for `assign_buckets`."""
    names = ("frames", "height", "width", "fps_num", "fps_den")
    frames, height, width, *fps = (index.clips[name].astype(np.int64) for name in names)
    seen = recipe.frame_sampling.count(frames, (fps[0], fps[1]), index.drawing_counts)
    return seen, height, width


def assign_recipe_buckets(
    index: Index, recipe: Recipe, buckets: Sequence[Bucket] = ()
) -> NDArray[np.int16]:
    """Return for each clip an aspect bucket or a drop reason, of the recipe's or other buckets."""
    shapes, sampling = clip_shapes(index, recipe), recipe.frame_sampling
    return assign_buckets(*shapes, buckets or recipe.buckets, sampling=sampling)


def frames_seen(row: DatasetRow, recipe: Recipe) -> int:
    """Return how many frames windows are cut from."""
    if recipe.sampling == "interval":
        return row.frames
    return len(_frames_shown(recipe.frame_sampling, row.frames, row.fps, row.drawings))


class CacheEntry(NamedTuple):
    """The latents under one key: a window of a clip, or the whole clip frame by frame."""

    clip: int  # row number
    window: Window | None


def clip_windows(total: int, bucket: Bucket, recipe: Recipe) -> list[Window]:
    """Return the windows that a family with windowed latents uses of `total` frames seen."""
    interval = bucket_interval(bucket, recipe)
    return spread_windows(total, bucket.frames, interval, recipe.windows_per_clip)


def bucket_interval(bucket: Bucket, recipe: Recipe) -> int:
    """Return the frame interval of a bucket's windows; 1 for images."""
    return 1 if bucket.frames == 1 else recipe.frame_interval


def entries_by_size(index: Index, recipe: Recipe) -> dict[tuple[int, int], list[CacheEntry]]:
    """Return (height, width) in pixels -> the entries that training can use at this size."""
    family = find_family(recipe.family)
    by_size: dict[tuple[int, int], dict[CacheEntry, None]] = {}
    seen = clip_shapes(index, recipe)[0]
    for buckets in _bucket_groups(recipe, by_window=not family.frame_latents):
        assigned = assign_recipe_buckets(index, recipe, buckets)
        for number, (bucket, _, size) in enumerate(aspect_buckets(buckets, family.grid)):
            for clip in np.flatnonzero(assigned == number).tolist():
                windows: Sequence[Window | None] = [None]
                if not family.frame_latents:
                    windows = clip_windows(int(seen[clip]), bucket, recipe)
                entries = by_size.setdefault(size, {})
                entries.update({CacheEntry(clip, window): None for window in windows})
    return {size: sorted(by_size[size]) for size in sorted(by_size)}


def _bucket_groups(recipe: Recipe, *, by_window: bool) -> list[list[Bucket]]:
    """Return groups of buckets, within each of which a clip is assigned once.

    With keep_prob < 1 a clip may also go to smaller buckets. Entries of whole clips differ by
    resolution only.
    """
    if by_window and all(bucket.keep_prob == 1 for bucket in recipe.buckets):
        return [list(recipe.buckets)]
    if by_window:
        return [[bucket] for bucket in recipe.buckets]
    resolutions = dict.fromkeys(bucket.resolution for bucket in recipe.buckets)
    return [[b for b in recipe.buckets if b.resolution == name] for name in resolutions]


def open_text_store(recipe: Recipe, encoder: str) -> ShardReader:
    """Open the store of captions by this encoder; raise CacheError for another `text_tokens`."""
    store = open_store(Path(recipe.cache), "text", encoder, tokens=recipe.text_tokens)
    tokens = store.about.get(TOKENS_ENTRY, recipe.text_tokens)
    if tokens != recipe.text_tokens:
        raise CacheError(
            f"cache {recipe.cache} has captions of text_tokens {tokens}, the recipe says "
            f"{recipe.text_tokens}: run `finetune cache RECIPE`, or set text_tokens={tokens}"
        )
    return store


def open_store(
    cache: Path, kind: str, encoder: str, size: str = ".", *, tokens: int | None = None
) -> ShardReader:
    """Open the store of `kind` ("latents" or "text") by this encoder; `size` is "HxW".

    tokens: taken before others, if there are stores of several. Raise CacheError if there is none,
    naming the encoders whose stores exist, or if there are two: then weights or settings changed
    under one name.
    """
    abouts = {
        file.parent: read_about(file.parent)
        for file in sorted(cache.glob(f"{kind}-*/{size}/{ABOUT_FILE}"))
    }
    encoders = {folder: about["encoder"] for folder, about in abouts.items()}
    stores = [f for f, a in abouts.items() if encoder in (a["encoder"], *a.get(NAMES_ENTRY, ()))]
    exact = [folder for folder in stores if abouts[folder].get(TOKENS_ENTRY) == tokens]
    stores = exact if len(exact) == 1 else stores
    if len(stores) == 1:
        return ShardReader(stores[0])
    what = kind if size == "." else f"{kind} at {size}"
    if stores:
        raise CacheError(
            f"cache {cache} has {what} of more than one {encoder!r}: "
            f"{', '.join(map(str, stores))}; delete the older one, or name another cache"
        )
    others = ", ".join(sorted(set(encoders.values())))
    content = f"it holds those of {others}" if others else "it holds none"
    raise CacheError(
        f"cache {cache} has no {what} of {encoder!r}, {content}: "
        "run `finetune cache RECIPE`, or name another cache"
    )


def missing_from_cache(index: Index, recipe: Recipe, encoder: str) -> dict[str, NDArray[np.bool_]]:
    """Return masks [N] of clips that cannot be trained on, by reason; encoder: of the captions."""
    keys = [caption_key(index.row(number).caption) for number in range(len(index))]
    digests = np.array([list(bytes.fromhex(key)) for key in keys], dtype=np.uint8)
    return {
        "not in the cache": ~cached_clips(index, recipe),
        "caption not in the cache": ~open_text_store(recipe, encoder).contains(digests),
    }


def cached_clips(index: Index, recipe: Recipe) -> NDArray[np.bool_]:
    """Return a mask [N] of the clips that the cache holds at their bucket's size."""
    assigned = assign_recipe_buckets(index, recipe)
    cached = np.zeros(len(index), dtype=bool)
    for number in np.unique(assigned[assigned >= 0]).tolist():
        bucket, _, (height, width) = recipe_aspect_buckets(recipe)[number]
        clips = np.flatnonzero(assigned == number)
        store = open_store(Path(recipe.cache), "latents", recipe.vae, f"{height}x{width}")
        if find_family(recipe.family).frame_latents:
            cached[clips] = store.contains(index.clips["sha256"][clips])
        else:
            cached[clips] = [_has_windows(store, index, n, bucket, recipe) for n in clips.tolist()]
    return cached


def _has_windows(
    store: ShardReader, index: Index, clip: int, bucket: Bucket, recipe: Recipe
) -> bool:
    row = index.row(clip)
    windows = clip_windows(frames_seen(row, recipe), bucket, recipe)
    keys = [window_key(row, window, recipe) for window in windows]
    digests = np.array([list(bytes.fromhex(key)) for key in keys], dtype=np.uint8)
    return bool(store.contains(digests).all())
