"""Train on a dataset of the Hub while it is read: streamed, without a download."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch.distributed as dist

from finetune.config import Recipe
from finetune.data.cache_layout import index_folder
from finetune.data.hub_stream import HubStream, find_commit, open_stream
from finetune.data.index import CLIP_DTYPE, Index, write_index
from finetune.data.loader import Batch
from finetune.data.rows import DatasetRow
from finetune.data.sampler import SamplerState
from finetune.data.stream_batches import StepRanks, StreamBatches, first_state
from finetune.data.stream_items import RowMedia
from finetune.data.stream_rows import first_position, shuffled_rows
from finetune.engines.distributed import all_gather, all_reduce_sum, rank_and_world_size
from finetune.errors import BadSample, DataError
from finetune.models.family import TINY_RANDOM
from finetune.training.run_data import Manifest, RunData

log = logging.getLogger(__name__)

TOKENIZER_ROWS = 100
"""First rows, whose captions the tokenizer of the tiny text encoder is trained on."""


@dataclass(frozen=True)
class StreamedData:
    """A dataset of the Hub at one commit: each rank draws from its own shards, as they come."""

    recipe: Recipe
    stream: HubStream
    index: Index  # of the first rows for the tiny tokenizer; else of none

    @property
    def fingerprint(self) -> str:
        return self.stream.fingerprint

    def batches(self, state: SamplerState, seed: int, workers: int) -> Iterator[Batch]:
        ranks = _step_ranks()
        return iter(
            StreamBatches(self.stream, self.recipe, seed, state, workers=workers, ranks=ranks)
        )

    def fixed_batches(self, count: int) -> list[Batch]:
        recipe, ranks = replace(self.recipe, shuffle_buffer=1, workers=1), _step_ranks()
        state = SamplerState(stream=first_state(self.stream, recipe, ranks))
        seed = recipe.validation.seed
        stream = StreamBatches(self.stream, recipe, seed, state, workers=0, ranks=ranks)
        return list(islice(stream, count))

    def resumed_state(self, manifest: Manifest | None, seed: int) -> SamplerState:
        """Return the checkpoint's position; with other ranks or buffer, the next epoch's begin."""
        ranks = _step_ranks()
        if manifest is None or "stream" not in manifest:
            return SamplerState(stream=first_state(self.stream, self.recipe, ranks))
        of_ranks: list[dict[str, Any]] = manifest["stream"]
        drawn = SamplerState(manifest["position"], {}, manifest["position_steps"])
        buffer = self.recipe.shuffle_buffer
        if len(of_ranks) == ranks.world_size and of_ranks[0]["shuffle_buffer"] == buffer:
            return replace(drawn, stream=of_ranks[ranks.rank])
        epoch = 1 + max(int(stream["epoch"]) for stream in of_ranks)
        if ranks.rank == 0:
            log.warning(
                "the checkpoint is of %d rank(s) with shuffle_buffer %d, now there are %d with %d: "
                "streaming begins epoch %d anew, and leaves out the rest of the one before",
                *(len(of_ranks), of_ranks[0]["shuffle_buffer"], ranks.world_size, buffer, epoch),
            )
        return replace(drawn, stream=first_state(self.stream, self.recipe, ranks, epoch))

    def manifest_entries(self, state: SamplerState) -> dict[str, Any]:
        of_ranks = all_gather(state.stream)
        return {"epoch": float(min(stream["epoch"] for stream in of_ranks)), "stream": of_ranks}

    def describe(self, world_size: int) -> str:
        stream, readers = self.stream, max(1, self.recipe.workers) * world_size
        if stream.shards < world_size:
            log.warning(
                "%s has %d shard(s) for %d ranks: each rank reads all of them, %d times the "
                "traffic; publish it in more files, or set streaming = false",
                *(stream.repo_id, stream.shards, world_size, world_size),
            )
        elif stream.shards < readers:
            log.info("%d shards are read by as many processes of %d", stream.shards, readers)
        return (
            f"streaming {stream.repo_id} at {stream.revision[:12]}: {stream.shards} shard(s) for "
            f"{world_size} rank(s); clips are counted as they come"
        )

    def summary(self, state: SamplerState) -> dict[str, object]:
        """Return how many rows each bucket got, and how many were left out, by reason."""
        counts = Counter[str]()
        for stream in all_gather(state.stream):
            counts.update(stream["counts"])
        return {"rows": ", ".join(f"{count:,} {what}" for what, count in counts.items())}


def _step_ranks() -> StepRanks:
    return StepRanks(*rank_and_world_size(), all_reduce_sum)


def open_streamed_data(recipe: Recipe, manifest: Manifest) -> RunData:
    """Open the stream of a recipe, at the commit of a checkpoint's manifest if that has one.

    Every rank must call.
    """
    (before, *_) = manifest.get("stream", [{}])
    known = before.get("revision") if before.get("repo_id") == recipe.dataset else None
    stream = open_stream(recipe, known)
    rank, world_size = rank_and_world_size()
    if known and rank == 0 and (newest := find_commit(recipe.dataset)) != known:
        log.warning(
            "%s has a newer commit, %s: training goes on with %s; --new-data takes the newer one",
            *(recipe.dataset, newest[:12], known[:12]),
        )
    if recipe.text_encoder != TINY_RANDOM:
        empty = np.zeros(0, CLIP_DTYPE), np.zeros(0, np.uint8)
        return StreamedData(recipe, stream, Index(*empty, stream.fingerprint, 0, 0))
    if rank == 0:
        _index_first_rows(recipe, stream)
    if world_size > 1:
        dist.barrier()
    return StreamedData(recipe, stream, Index.open(index_folder(recipe)))


def _index_first_rows(recipe: Recipe, stream: HubStream) -> None:
    """Index the first rows in the place of the dataset's, unless that was done before."""
    folder, stamp = index_folder(recipe), [stream.fingerprint]
    try:
        if Index.open(folder, verify=True).stamps == (stamp,):
            return
    except DataError:
        pass
    rows = shuffled_rows(stream, nodes=1, seed=0, size=1, position=first_position(stream, 0))
    first = (row for row, _ in islice(rows, TOKENIZER_ROWS) if row.values)
    write_index((_parsed(RowMedia(stream, row)) for row in first), folder, stamp=[stamp])


def _parsed(media: RowMedia) -> DatasetRow | BadSample:
    try:
        return media.parse()
    except BadSample as error:
        return error
