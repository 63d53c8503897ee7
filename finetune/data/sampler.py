"""Which clips come next: endless, fair to every slot, and the same for any number of ranks.

Each slot is a stream of passes over its clips, each pass in an order of its own. The position is
how many samples of each slot have been drawn, so a run goes on at the same clip whether it has
one rank or thirty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from finetune.config import Recipe
from finetune.data.buckets import NOT_SAMPLED, AspectBucket, aspect_buckets, assign_buckets
from finetune.data.cache_layout import clip_shapes
from finetune.data.index import Index
from finetune.errors import DataError


@dataclass(frozen=True)
class SamplerState:
    """Samples drawn so far, of each slot by name."""

    drawn: Mapping[str, int] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return sum(self.drawn.values())

    def advanced_by(self, aspect_bucket: AspectBucket, samples: int) -> SamplerState:
        return SamplerState(
            {**self.drawn, aspect_bucket.name: self.drawn.get(aspect_bucket.name, 0) + samples}
        )


@dataclass(frozen=True)
class BatchSpec:
    """One rank's share of one step."""

    aspect_bucket: AspectBucket
    clips: tuple[int, ...]  # row numbers of the index
    seeds: tuple[int, ...]  # everything random about a sample follows from its seed
    sampler_state: SamplerState  # after this step, of all ranks together


class Sampler:
    """Draws the steps' clips; `usable` [N] bool leaves out what, say, is not in the cache."""

    def __init__(self, index: Index, recipe: Recipe, usable: NDArray[np.bool_], seed: int) -> None:
        self.recipe = recipe
        self.seed = seed
        self._usable = usable
        self._clips = clip_shapes(index)
        self._aspect_buckets = aspect_buckets(recipe.buckets)
        self._assignments: dict[int, list[NDArray[np.int64]]] = {}
        self._shuffled: dict[tuple[int, int], NDArray[np.int64]] = {}
        self._sizes = [
            len(self._epoch_clips(number, 0)) for number in range(len(self._aspect_buckets))
        ]
        if not any(self._sizes):
            raise DataError("no clip fits a bucket: see the table above for why")

    def batch_specs(
        self, sampler_state: SamplerState, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[BatchSpec]:
        """Steps from a position on, for ever: this rank's share of each."""
        while True:
            number = self._next(sampler_state)
            aspect_bucket = self._aspect_buckets[number]
            first = (
                sampler_state.drawn.get(aspect_bucket.name, 0)
                + rank * aspect_bucket.bucket.batch_size
            )
            drawn = [
                self._draw_sample(number, first + i) for i in range(aspect_bucket.bucket.batch_size)
            ]
            sampler_state = sampler_state.advanced_by(
                aspect_bucket, world_size * aspect_bucket.bucket.batch_size
            )
            clips, seeds = zip(*drawn, strict=True)
            yield BatchSpec(aspect_bucket, clips, seeds, sampler_state)

    def _next(self, sampler_state: SamplerState) -> int:
        """The slot that is least far through its pass, a batch's worth of chance mixed in."""
        jitter = np.random.default_rng([self.seed, sampler_state.samples]).random(
            len(self._aspect_buckets)
        )
        progress = [
            (
                sampler_state.drawn.get(aspect_bucket.name, 0)
                + uniform * aspect_bucket.bucket.batch_size
            )
            / size
            if size
            else np.inf
            for aspect_bucket, size, uniform in zip(
                self._aspect_buckets, self._sizes, jitter, strict=True
            )
        ]
        return int(np.argmin(progress))

    def _draw_sample(self, number: int, sample: int) -> tuple[int, int]:
        """Row number and seed of the n-th sample of a slot's stream."""
        epoch, place = divmod(sample, self._sizes[number])
        members = self._epoch_clips(number, epoch)
        clip = int(members[place % len(members)])
        return clip, sample_seed(self.seed, epoch, clip)

    def _epoch_clips(self, number: int, epoch: int) -> NDArray[np.int64]:
        """The slot's clips in this pass's order; the newest two passes of each are kept."""
        if (number, epoch) not in self._shuffled:
            self._shuffled.pop((number, epoch - 2), None)
            members = self._clips_by_bucket(epoch)[number]
            if not len(members) and epoch:  # keep_prob < 1 left none this time
                return self._epoch_clips(number, epoch - 1)
            order = np.random.default_rng([self.seed, number, epoch]).permutation(len(members))
            self._shuffled[number, epoch] = members[order]
        return self._shuffled[number, epoch]

    def _clips_by_bucket(self, epoch: int) -> list[NDArray[np.int64]]:
        """The clips of each slot in this pass; drawn anew each pass where keep_prob < 1."""
        buckets, interval = self.recipe.buckets, self.recipe.frame_interval
        if all(bucket.keep_prob == 1 for bucket in buckets):
            epoch = 0
        if epoch not in self._assignments:
            uniform = np.random.default_rng([self.seed, epoch]).random(
                (len(buckets), len(self._usable))
            )
            found = assign_buckets(*self._clips, buckets, interval=interval, uniform=uniform)
            found[~self._usable] = NOT_SAMPLED
            by_slot = np.argsort(found, kind="stable")  # one pass over the clips for all slots
            bounds = np.searchsorted(found[by_slot], np.arange(len(self._aspect_buckets) + 1))
            self._assignments = {epoch: np.split(by_slot, bounds)[1:-1]}
        return self._assignments[epoch]


def sample_seed(seed: int, epoch: int, clip: int) -> int:
    """The seed of one sample: the same on any rank, in any batch."""
    return int(np.random.SeedSequence([seed, epoch, clip]).generate_state(1, np.uint64)[0] >> 1)
