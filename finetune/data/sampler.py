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
from finetune.data.buckets import NOT_KEPT, Slot, assign, slots
from finetune.data.cache_layout import measures
from finetune.data.index import Index
from finetune.errors import DataError


@dataclass(frozen=True)
class Position:
    """Samples drawn so far, of each slot by name."""

    drawn: Mapping[str, int] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return sum(self.drawn.values())

    def after(self, slot: Slot, samples: int) -> Position:
        return Position({**self.drawn, slot.name: self.drawn.get(slot.name, 0) + samples})


@dataclass(frozen=True)
class Order:
    """One rank's share of one step."""

    slot: Slot
    clips: tuple[int, ...]  # row numbers of the index
    seeds: tuple[int, ...]  # everything random about a sample follows from its seed
    position: Position  # after this step, of all ranks together


class Sampler:
    """Draws the steps' clips; `usable` [N] bool leaves out what, say, is not in the cache."""

    def __init__(self, index: Index, recipe: Recipe, usable: NDArray[np.bool_], seed: int) -> None:
        self.recipe = recipe
        self.seed = seed
        self._usable = usable
        self._clips = measures(index)
        self._slots = slots(recipe.buckets)
        self._turns: dict[int, list[NDArray[np.int64]]] = {}
        self._members: dict[tuple[int, int], NDArray[np.int64]] = {}
        self._sizes = [len(self._pass(number, 0)) for number in range(len(self._slots))]
        if not any(self._sizes):
            raise DataError("no clip fits a bucket: see the table above for why")

    def orders(self, position: Position, *, rank: int = 0, world: int = 1) -> Iterator[Order]:
        """Steps from a position on, for ever: this rank's share of each."""
        while True:
            number = self._next(position)
            slot = self._slots[number]
            first = position.drawn.get(slot.name, 0) + rank * slot.bucket.batch
            drawn = [self._draw(number, first + i) for i in range(slot.bucket.batch)]
            position = position.after(slot, world * slot.bucket.batch)
            clips, seeds = zip(*drawn, strict=True)
            yield Order(slot, clips, seeds, position)

    def _next(self, position: Position) -> int:
        """The slot that is least far through its pass, a batch's worth of chance mixed in."""
        jitter = np.random.default_rng([self.seed, position.samples]).random(len(self._slots))
        progress = [
            (position.drawn.get(slot.name, 0) + chance * slot.bucket.batch) / size
            if size
            else np.inf
            for slot, size, chance in zip(self._slots, self._sizes, jitter, strict=True)
        ]
        return int(np.argmin(progress))

    def _draw(self, number: int, sample: int) -> tuple[int, int]:
        """Row number and seed of the n-th sample of a slot's stream."""
        turn, place = divmod(sample, self._sizes[number])
        members = self._pass(number, turn)
        clip = int(members[place % len(members)])
        return clip, sample_seed(self.seed, turn, clip)

    def _pass(self, number: int, turn: int) -> NDArray[np.int64]:
        """The slot's clips in this pass's order; the newest two passes of each are kept."""
        if (number, turn) not in self._members:
            self._members.pop((number, turn - 2), None)
            members = self._assigned(turn)[number]
            if not len(members) and turn:  # keep < 1 left none this time
                return self._pass(number, turn - 1)
            order = np.random.default_rng([self.seed, number, turn]).permutation(len(members))
            self._members[number, turn] = members[order]
        return self._members[number, turn]

    def _assigned(self, turn: int) -> list[NDArray[np.int64]]:
        """The clips of each slot in this pass; drawn anew each pass where keep < 1."""
        buckets, interval = self.recipe.buckets, self.recipe.frame_interval
        if all(bucket.keep == 1 for bucket in buckets):
            turn = 0
        if turn not in self._turns:
            chance = np.random.default_rng([self.seed, turn]).random(
                (len(buckets), len(self._usable))
            )
            found = assign(*self._clips, buckets, interval=interval, chance=chance)
            found[~self._usable] = NOT_KEPT
            by_slot = np.argsort(found, kind="stable")  # one pass over the clips for all slots
            bounds = np.searchsorted(found[by_slot], np.arange(len(self._slots) + 1))
            self._turns = {turn: np.split(by_slot, bounds)[1:-1]}
        return self._turns[turn]


def sample_seed(seed: int, turn: int, clip: int) -> int:
    """The seed of one sample: the same on any rank, in any batch."""
    return int(np.random.SeedSequence([seed, turn, clip]).generate_state(1, np.uint64)[0] >> 1)
