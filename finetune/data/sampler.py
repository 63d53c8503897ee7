"""Sample clips endlessly, evenly over aspect buckets, and the same for any number of ranks.

Each aspect bucket is a stream of epochs over its clips, each epoch shuffled anew. The sampler state
is the number of samples drawn from each aspect bucket, so a run resumes at the same clip with any
number of ranks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brickfilm.schema.buckets import NOT_SAMPLED
from finetune.config import Recipe
from finetune.data.buckets import AspectBucket, assign_buckets, recipe_aspect_buckets
from finetune.data.cache_layout import clip_shapes
from finetune.data.index import Index
from finetune.errors import DataError


@dataclass(frozen=True)
class SamplerState:
    """Position in each aspect bucket's stream of samples, by its name.

    skipped: the positions at which buckets began that were added when a run was resumed.
    steps: taken so far, which seed the order of buckets; None for a run of before they were
    counted, whose order is seeded by its samples and depends on the number of ranks.
    stream: this rank's position in a dataset that is streamed, as JSON (`StreamBatches`).
    """

    drawn: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    steps: int | None = 0
    stream: Mapping[str, Any] | None = None

    @property
    def samples(self) -> int:
        """Return the total number of samples drawn."""
        return sum(self.drawn.values()) - sum(self.skipped.values())

    def advanced_by(self, aspect_bucket: AspectBucket, samples: int) -> SamplerState:
        """Return the state after more samples of an aspect bucket."""
        drawn = self.drawn.get(aspect_bucket.name, 0) + samples
        steps = None if self.steps is None else self.steps + 1
        return replace(self, drawn={**self.drawn, aspect_bucket.name: drawn}, steps=steps)


@dataclass(frozen=True)
class BatchSpec:
    """One rank's share of one step."""

    aspect_bucket: AspectBucket
    clips: tuple[int, ...]  # row numbers of the index
    seeds: tuple[int, ...]  # each determines all randomness of a sample
    sampler_state: SamplerState  # after this step, over all ranks


class Sampler:
    """Draw the clips of each step among those marked in `usable` [N] bool."""

    def __init__(self, index: Index, recipe: Recipe, usable: NDArray[np.bool_], seed: int) -> None:
        self.recipe = recipe
        self.seed = seed
        self._usable = usable
        self._clips = clip_shapes(index, recipe)
        self._aspect_buckets = recipe_aspect_buckets(recipe)
        self._assignments: dict[int, list[NDArray[np.int64]]] = {}
        self._shuffled: dict[tuple[int, int], NDArray[np.int64]] = {}
        self._sizes = [
            len(self._epoch_clips(number, 0)) for number in range(len(self._aspect_buckets))
        ]
        if not any(self._sizes):
            raise DataError("no clip fits a bucket: the table above lists the reasons")

    def batch_specs(
        self, sampler_state: SamplerState, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[BatchSpec]:
        """Yield this rank's share of every step from a sampler state on, endlessly."""
        while True:
            number = self._next(sampler_state, world_size)
            aspect_bucket = self._aspect_buckets[number]
            size = aspect_bucket.bucket.batch_size
            first = sampler_state.drawn.get(aspect_bucket.name, 0) + rank * size
            samples = [self._draw_sample(number, first + i) for i in range(size)]
            sampler_state = sampler_state.advanced_by(aspect_bucket, world_size * size)
            clips, seeds = zip(*samples, strict=True)
            yield BatchSpec(aspect_bucket, clips, seeds, sampler_state)

    def _next(self, sampler_state: SamplerState, world_size: int) -> int:
        """Return the aspect bucket of least epoch progress, with a random jitter of one step.

        Jitter and positions grow with the ranks, so that any number of them has the same order.
        """
        step, ranks = sampler_state.steps, world_size
        if step is None:
            step, ranks = sampler_state.samples, 1
        rng = np.random.default_rng([self.seed, step])
        batch_sizes = [ranks * a.bucket.batch_size for a in self._aspect_buckets]
        jitter = rng.random(len(self._sizes)) * batch_sizes
        return int(np.argmin(self._progress(sampler_state, jitter)))

    def _progress(
        self, sampler_state: SamplerState, jitter: NDArray[np.float64] | float = 0.0
    ) -> NDArray[np.float64]:
        """Return each aspect bucket's position in epochs; infinity for one without clips."""
        sizes = np.array(self._sizes)
        drawn = jitter + np.array(
            [sampler_state.drawn.get(a.name, 0) for a in self._aspect_buckets]
        )
        return np.where(sizes > 0, drawn / np.maximum(sizes, 1), np.inf)

    def admit(self, sampler_state: SamplerState, added: Collection[str]) -> SamplerState:
        """Return the state in which buckets of these names begin where the others are.

        From 0 they would be drawn alone until they have caught up.
        """
        progress = self._progress(sampler_state)
        old = [str(a.bucket) not in added for a in self._aspect_buckets]
        known = progress[np.isfinite(progress) & old]
        if not len(known):
            return sampler_state
        begin = {
            a.name: int(known.min() * size)
            for a, size, is_old in zip(self._aspect_buckets, self._sizes, old, strict=True)
            if size and not is_old
        }
        drawn, skipped = ({**m, **begin} for m in (sampler_state.drawn, sampler_state.skipped))
        return SamplerState(drawn, skipped, sampler_state.steps)

    def _draw_sample(self, number: int, sample: int) -> tuple[int, int]:
        """Return row number and seed of an aspect bucket's n-th sample."""
        epoch, position = divmod(sample, self._sizes[number])
        clips = self._epoch_clips(number, epoch)
        clip = int(clips[position % len(clips)])
        return clip, sample_seed(self.seed, epoch, clip)

    def _epoch_clips(self, number: int, epoch: int) -> NDArray[np.int64]:
        """Return an aspect bucket's clips in this epoch's order; keep the newest two epochs."""
        if (number, epoch) not in self._shuffled:
            self._shuffled.pop((number, epoch - 2), None)
            clips = self._clips_by_bucket(epoch)[number]
            if not len(clips) and epoch:  # keep_prob < 1 left none this epoch
                return self._epoch_clips(number, epoch - 1)
            order = np.random.default_rng([self.seed, number, epoch]).permutation(len(clips))
            self._shuffled[number, epoch] = clips[order]
        return self._shuffled[number, epoch]

    def _clips_by_bucket(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return each aspect bucket's clips in this epoch; they vary where keep_prob < 1."""
        buckets, sampling = self.recipe.buckets, self.recipe.frame_sampling
        if all(bucket.keep_prob == 1 for bucket in buckets):
            epoch = 0
        if epoch not in self._assignments:
            uniform = np.random.default_rng([self.seed, epoch]).random(
                (len(buckets), len(self._usable))
            )
            assigned = assign_buckets(*self._clips, buckets, sampling=sampling, uniform=uniform)
            assigned[~self._usable] = NOT_SAMPLED
            order = np.argsort(assigned, kind="stable")  # one sort for all aspect buckets
            bounds = np.searchsorted(assigned[order], np.arange(len(self._aspect_buckets) + 1))
            self._assignments = {epoch: np.split(order, bounds)[1:-1]}
        return self._assignments[epoch]


def sample_seed(seed: int, epoch: int, clip: int) -> int:
    """Return the seed of one sample, independent of rank and batch."""
    return int(np.random.SeedSequence([seed, epoch, clip]).generate_state(1, np.uint64)[0] >> 1)
