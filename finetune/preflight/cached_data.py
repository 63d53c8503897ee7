"""Compare the index and the latent cache that every node sees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from finetune.config import Recipe
from finetune.data.bucket_coverage import bucket_coverage
from finetune.data.cache_layout import index_dataset, index_folder, missing_from_cache
from finetune.data.encoders import text_encoder_name
from finetune.data.index import Index
from finetune.data.shards import ABOUT_FILE, KEYS_FILE, OpenShard, ShardReader
from finetune.errors import FinetuneError
from finetune.preflight.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class CacheView:
    """The dataset's index and the cache as one node sees them."""

    node: int
    fingerprint: str = ""  # of the indexed dataset
    digests: Mapping[str, str] = field(default_factory=dict)  # of a store's index and of `about`
    sizes: Mapping[str, int] = field(default_factory=dict)  # bytes of each shard in use
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ClipCounts:
    """The clips of the dataset that the run can use, counted on rank 0."""

    usable: int = 0
    not_cached: int = 0
    problem: str = ""


def compare_data(ranks: Ranks, recipe: Recipe) -> tuple[list[CacheView], ClipCounts]:
    """Return the view of each node, and rank 0's count; every rank must call.

    Rank 0 indexes the dataset first, as the training does.
    """
    counts = count_clips(recipe) if ranks.rank == 0 else None
    first: ClipCounts | None = ranks.gather("index the dataset", counts)[0]
    assert first is not None
    view = view_cache(recipe, ranks.node) if ranks.is_first_of_node else None
    views = ranks.gather("look at the cache", view)
    return [found for found in views if found is not None], first


def count_clips(recipe: Recipe) -> ClipCounts:
    """Index the dataset and count its usable clips; a problem is returned as text."""
    try:
        index = index_dataset(recipe)
        missing = None
        if recipe.latents == "cached":
            missing = missing_from_cache(index, recipe, text_encoder_name(recipe, index))
        coverage = bucket_coverage(index, recipe, missing)
    except (FinetuneError, OSError) as error:
        return ClipCounts(problem=str(error))
    not_cached = sum(coverage.dropped.get(reason, 0) for reason in missing or ())
    return ClipCounts(usable=int(coverage.usable.sum()), not_cached=not_cached)


def view_cache(recipe: Recipe, node: int) -> CacheView:
    """Read the index and every store's own files, and the header of every shard in use."""
    problems: list[str] = []
    fingerprint, digests, sizes = "", dict[str, str](), dict[str, int]()
    cache = Path(recipe.cache)
    try:
        fingerprint = Index.open(index_folder(recipe)).fingerprint
    except FinetuneError as error:
        problems.append(str(error))
    stores = sorted(cache.rglob(ABOUT_FILE)) if recipe.latents == "cached" else []
    for about in stores:
        store = about.parent
        try:
            for name in (ABOUT_FILE, KEYS_FILE):
                content = (store / name).read_bytes()
                digests[str((store / name).relative_to(cache))] = hashlib.sha256(
                    content
                ).hexdigest()
            for shard in ShardReader(store).shard_names():
                file = OpenShard(store / shard).path
                sizes[str(file.relative_to(cache))] = file.stat().st_size
        except (FinetuneError, OSError) as error:
            problems.append(str(error))
    return CacheView(
        node=node, fingerprint=fingerprint, digests=digests, sizes=sizes, problems=tuple(problems)
    )
