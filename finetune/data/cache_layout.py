"""Where a cache keeps what, and how training finds it again."""

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
    """The key of a caption's states."""
    return hashlib.sha256(caption.encode()).hexdigest()


def index_folder(recipe: Recipe) -> Path:
    """Where the dataset's index lies: beside the cache, one for each dataset."""
    name = hashlib.sha256(recipe.dataset.encode()).hexdigest()[:12]
    return Path(recipe.cache) / f"index-{name}"


def latent_folder(recipe: Recipe, digest: str, size: tuple[int, int]) -> Path:
    """Of the latents that the VAE of this digest makes of frames of this (height, width)."""
    return Path(recipe.cache) / f"latents-{digest[:12]}" / f"{size[0]}x{size[1]}"


def text_folder(recipe: Recipe, digest: str) -> Path:
    """Of the states that the text encoder of this digest makes."""
    return Path(recipe.cache) / f"text-{digest[:12]}"


ClipShapes = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def clip_shapes(index: Index) -> ClipShapes:
    """Frames, height and width of every clip, as `assign_buckets` takes them."""
    clips = index.clips
    frames, height, width = (clips[name].astype(np.int64) for name in ("frames", "height", "width"))
    return frames, height, width


def clips_by_size(index: Index, recipe: Recipe) -> dict[tuple[int, int], NDArray[np.int64]]:
    """(height, width) in pixels -> numbers of the clips that some bucket wants at this size."""
    wanted: dict[tuple[int, int], NDArray[np.int64]] = {}
    for resolution in {bucket.resolution for bucket in recipe.buckets}:
        buckets = [b for b in recipe.buckets if b.resolution == resolution]
        found = assign_buckets(*clip_shapes(index), buckets, interval=recipe.frame_interval)
        for number, aspect_bucket in enumerate(aspect_buckets(buckets)):
            clips = np.flatnonzero(found == number)
            if len(clips):
                wanted[aspect_bucket.size] = np.union1d(
                    wanted.get(aspect_bucket.size, clips), clips
                )
    return dict(sorted(wanted.items()))


def open_store(cache: Path, kind: str, encoder: str, place: str = ".") -> ShardReader:
    """The store of `kind` ("latents" or "text") that this encoder made; `place` is HxW.

    Raises CacheError naming the encoders whose stores there are, if it is none of them, or the
    stores if two are of one name: weights or settings changed, and only one of them is meant.
    """
    made = {
        about.parent: json.loads(about.read_text())["encoder"]
        for about in sorted(cache.glob(f"{kind}-*/{place}/about.json"))
    }
    ours = [folder for folder, name in made.items() if name == encoder]
    if len(ours) == 1:
        return ShardReader(ours[0])
    what = kind if place == "." else f"{kind} at {place}"
    if ours:
        raise CacheError(
            f"cache {cache} has {what} of more than one {encoder!r}, {', '.join(map(str, ours))}: "
            "delete the older, or name another cache"
        )
    others = ", ".join(sorted(set(made.values())))
    found = f"it holds those of {others}" if others else "it holds none"
    raise CacheError(
        f"cache {cache} has no {what} of {encoder!r}, {found}: "
        "run `finetune cache RECIPE`, or name another cache"
    )


def cached_clips(index: Index, recipe: Recipe) -> NDArray[np.bool_]:
    """[N] which clips the cache holds at the size that training asks for."""
    found = assign_buckets(*clip_shapes(index), recipe.buckets, interval=recipe.frame_interval)
    held = np.zeros(len(index), dtype=bool)
    for number in np.unique(found[found >= 0]).tolist():
        height, width = aspect_buckets(recipe.buckets)[number].size
        here = np.flatnonzero(found == number)
        store = open_store(Path(recipe.cache), "latents", recipe.vae, f"{height}x{width}")
        held[here] = store.contains(index.clips["sha256"][here])
    return held
