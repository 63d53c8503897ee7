"""Folders of a latent cache, and how training opens them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finetune.config import Recipe
from finetune.data.buckets import aspect_buckets, assign_buckets
from finetune.data.index import Index
from finetune.data.shards import ShardReader
from finetune.errors import CacheError


def caption_key(caption: str) -> str:
    """Return the key of a caption's states."""
    return hashlib.sha256(caption.encode()).hexdigest()


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


def clip_shapes(index: Index) -> ClipShapes:
    """Return frames, height and width of every clip, for `assign_buckets`."""
    clips = index.clips
    frames, height, width = (clips[name].astype(np.int64) for name in ("frames", "height", "width"))
    return frames, height, width


def clips_by_size(index: Index, recipe: Recipe) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Return (height, width) in pixels -> row numbers of the clips that a bucket uses so."""
    by_size: dict[tuple[int, int], NDArray[np.int64]] = {}
    for resolution in {bucket.resolution for bucket in recipe.buckets}:
        buckets = [b for b in recipe.buckets if b.resolution == resolution]
        assigned = assign_buckets(*clip_shapes(index), buckets, interval=recipe.frame_interval)
        for number, aspect_bucket in enumerate(aspect_buckets(buckets)):
            clips, size = np.flatnonzero(assigned == number), aspect_bucket.size
            if len(clips):
                by_size[size] = np.union1d(by_size.get(size, clips), clips)
    return dict(sorted(by_size.items()))


def open_store(cache: Path, kind: str, encoder: str, size: str = ".") -> ShardReader:
    """Open the store of `kind` ("latents" or "text") by this encoder; `size` is "HxW".

    Raise CacheError if there is none, naming the encoders whose stores exist, or if there are two:
    then weights or settings changed under one name.
    """
    encoders = {
        about.parent: json.loads(about.read_text())["encoder"]
        for about in sorted(cache.glob(f"{kind}-*/{size}/about.json"))
    }
    stores = [folder for folder, name in encoders.items() if name == encoder]
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


def cached_clips(index: Index, recipe: Recipe) -> NDArray[np.bool_]:
    """Return a mask [N] of the clips that the cache holds at their bucket's size."""
    assigned = assign_buckets(*clip_shapes(index), recipe.buckets, interval=recipe.frame_interval)
    cached = np.zeros(len(index), dtype=bool)
    for number in np.unique(assigned[assigned >= 0]).tolist():
        height, width = aspect_buckets(recipe.buckets)[number].size
        clips = np.flatnonzero(assigned == number)
        store = open_store(Path(recipe.cache), "latents", recipe.vae, f"{height}x{width}")
        cached[clips] = store.contains(index.clips["sha256"][clips])
    return cached
