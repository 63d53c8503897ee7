"""Make batches of streamed samples: the same aspect bucket on all ranks in each step.

Samples wait until their aspect bucket has a batch. A state names the oldest one that waits, how
many items were read since, and which of them still wait: a resumed stream reads from there again.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune.config import Recipe
from finetune.data.buckets import recipe_aspect_buckets
from finetune.data.hub_stream import HubStream
from finetune.data.loader import Batch, iterate_loader
from finetune.data.sampler import BatchSpec, SamplerState
from finetune.data.samples import LoadTimes
from finetune.data.stream_items import UNREADABLE, StreamItem, StreamReaders
from finetune.data.stream_rows import Position, epoch_of, first_position
from finetune.errors import DataError

log = logging.getLogger(__name__)

MOST_WAITING = 256
"""Later samples beyond which one waits no longer: its bucket goes on with an incomplete batch.
Decoded clips wait in memory."""
HOPELESS_ROWS, HOPELESS_EPOCHS = 1000, 2
"""Rows, or epochs if they are shorter, without a single usable clip after which a run ends."""


class StepRanks(NamedTuple):
    """The ranks that take a step together."""

    rank: int = 0
    world_size: int = 1
    sum: Callable[[Tensor], Tensor] = lambda values: values  # over all ranks, of float64


def first_state(
    stream: HubStream, recipe: Recipe, ranks: StepRanks, epoch: int = 0
) -> dict[str, Any]:
    """Return this rank's state at the beginning of an epoch: as many readers as workers.

    There are no more than shards, so that each shard is read by one reader alone.
    """
    readers = max(1, min(recipe.workers, stream.shards // ranks.world_size))
    nodes = range(ranks.rank * readers, (ranks.rank + 1) * readers)
    return {
        "repo_id": stream.repo_id,
        "revision": stream.revision,
        "shuffle_buffer": recipe.shuffle_buffer,
        "epoch": epoch,
        "readers": [first_position(stream, node, epoch) for node in nodes],
        "given": 0,
        "waiting": [],
        "counts": {},
    }


class StreamBatches:
    """One rank's batches from a state on, endlessly; every rank must iterate."""

    def __init__(
        self,
        stream: HubStream,
        recipe: Recipe,
        seed: int,
        state: SamplerState,
        *,
        workers: int,
        ranks: StepRanks,
    ) -> None:
        assert state.stream is not None
        self._begin: Mapping[str, Any] = state.stream
        self._state, self._recipe, self._ranks = state, recipe, ranks
        self._buckets = recipe_aspect_buckets(recipe)
        self._sizes = np.array([float(a.bucket.batch_size) for a in self._buckets])
        self._waiting: list[dict[int, _Waiting]] = [{} for _ in self._buckets]
        self._ages: dict[int, int] = dict(self._begin["waiting"])
        positions: list[Position] = list(self._begin["readers"])
        self._readers = len(positions)
        self._positions = dict(enumerate(positions, -self._readers))  # after the items, by number
        self._given = self._samples = 0
        self._counts = Counter(self._begin["counts"])
        self._skipped: list[str] = []
        self._times = LoadTimes()
        given, nodes = int(self._begin["given"]), self._readers * ranks.world_size
        waiting = frozenset(self._ages)
        items = StreamReaders(stream, recipe, seed, nodes, positions, given, waiting)
        self._items: Iterator[StreamItem] = _prefetched(items, recipe, workers)

    def __iter__(self) -> Iterator[Batch]:
        while self._given < self._begin["given"]:
            self._read_again()
        while True:
            number, clips = self._agree()
            waiting = self._waiting[number]
            size = self._buckets[number].bucket.batch_size
            taken = [waiting.pop(place).item for place in list(waiting)[:size]]
            yield self._batch(number, clips, taken)

    def _batch(self, number: int, clips: int, items: list[StreamItem]) -> Batch:
        aspect_bucket, seeds = self._buckets[number], tuple(item.seed for item in items)
        state = self._state.advanced_by(aspect_bucket, clips)
        self._state = replace(state, stream=self._position())
        skipped, self._skipped = tuple(self._skipped), []
        times, self._times = self._times, LoadTimes()
        samples = tuple(item.sample for item in items if item.sample)
        spec = BatchSpec(aspect_bucket, (), seeds, self._state)
        return Batch(spec, samples, seeds, skipped, load_times=times)

    def _position(self) -> dict[str, Any]:
        """Return the state from which a stream goes on with the next batch."""
        waiting = {p: w for items in self._waiting for p, w in items.items()}
        oldest = min(waiting, default=self._given)
        after = range(oldest - self._readers, oldest)
        self._positions = {n: p for n, p in self._positions.items() if n >= after.start}
        return {
            **self._begin,
            "epoch": max(map(epoch_of, self._positions.values())),
            "readers": [self._positions[number] for number in after],
            "given": self._given - oldest,
            "waiting": [[p - oldest, self._samples - waiting[p].number] for p in sorted(waiting)],
            "counts": dict(self._counts),
        }

    # -- agreement ---------------------------------------------------------------------------------

    def _agree(self) -> tuple[int, int]:
        """Return the aspect bucket of the next step, and the number of its clips on all ranks.

        It is one with a whole batch on every rank, or one whose clips have waited for long on some.
        """
        while not self._is_ready():
            self._read()
        while True:
            bids = self._ranks.sum(torch.from_numpy(np.concatenate(self._bids()))).numpy()
            counts, ages, overdue = np.split(bids, 3)
            is_whole = counts == self._sizes * self._ranks.world_size
            candidates = overdue > 0 if overdue.any() else is_whole
            if candidates.any():
                number = int(np.where(candidates, ages, -1).argmax())
                return number, int(counts[number])
            self._read_sample()

    def _bids(self) -> tuple[NDArray[np.float64], ...]:
        """Return of each aspect bucket the clips to give, the oldest one's age, and if it is over.

        The age is the number of samples that were found since.
        """
        counts = np.minimum([len(items) for items in self._waiting], self._sizes)
        ages = np.array([self._samples - _oldest(items, self._samples) for items in self._waiting])
        return counts, ages.astype(float), (ages > MOST_WAITING + self._sizes).astype(float)

    def _is_ready(self) -> bool:
        counts, _, overdue = self._bids()
        return bool(overdue.any() or (counts == self._sizes).any())

    # -- reading -----------------------------------------------------------------------------------

    def _read_sample(self) -> None:
        """Read until there is one more sample."""
        before = self._samples
        while self._samples == before:
            self._read()

    def _read(self) -> None:
        """Read the next item: keep its sample, or count why it has none."""
        item = self._next()
        self._times += item.times
        if item.sample:
            self._samples += 1
            self._waiting[item.bucket][self._given - 1] = _Waiting(item, self._samples)
        self._count(item)

    def _read_again(self) -> None:
        """Read an item that was given before the stream was resumed; keep it if it waited."""
        item, place = self._next(), self._given - 1
        if place in self._ages and item.sample:
            self._waiting[item.bucket][place] = _Waiting(item, -self._ages[place])

    def _next(self) -> StreamItem:
        item = next(self._items)
        self._positions[self._given] = item.position
        self._given += 1
        return item

    def _count(self, item: StreamItem) -> None:
        if item.sample:
            self._counts[str(self._buckets[item.bucket].bucket)] += 1
            return
        self._counts[item.problem] += 1
        if item.problem == UNREADABLE:
            self._skipped.append(item.detail)
        elif self._counts[item.problem] == 1:
            log.warning("streaming leaves out rows: %s (%s)", item.problem, item.detail)
        if not any(self._counts[str(bucket)] for bucket in self._recipe.buckets):
            self._check_hope(sum(self._counts.values()))

    def _check_hope(self, rows: int) -> None:
        """Raise DataError if none of so many rows, or of whole epochs, fits a bucket."""
        newest = range(self._given - self._readers, self._given)
        epochs = min(epoch_of(self._positions[n]) for n in newest) - int(self._begin["epoch"])
        if rows <= HOPELESS_ROWS and epochs < HOPELESS_EPOCHS:
            return
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self._counts.items())
        raise DataError(
            f"none of the first {rows:,} rows of {self._recipe.dataset} fits a bucket ({reasons}): "
            "lower the buckets' frames, resolution or frame_interval"
        )


class _Waiting(NamedTuple):
    """A sample that waits for its batch, and its number among all samples."""

    item: StreamItem
    number: int


def _oldest(items: Mapping[int, _Waiting], default: int) -> int:
    """Return the number of the sample that waits for longest."""
    return next(iter(items.values())).number if items else default


def _prefetched(items: StreamReaders, recipe: Recipe, workers: int) -> Iterator[StreamItem]:
    """Load items by so many processes that the readers take turns as in one: a divisor of them."""
    readers = len(items.positions)
    processes = max((n for n in range(1, workers + 1) if readers % n == 0), default=0)
    largest = max(bucket.batch_size for bucket in recipe.buckets)
    options = {"prefetch_factor": 2 * math.ceil(largest / processes)} if processes else {}
    return iterate_loader(items, processes, **options)
