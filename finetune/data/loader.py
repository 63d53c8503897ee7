"""From an order to a batch: cached latents or pixels, and what the network is told of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from finetune.config import Recipe
from finetune.data.cache_layout import caption_key, open_store
from finetune.data.encoders import text_name
from finetune.data.index import Index
from finetune.data.packing import Packed, pack, unpack
from finetune.data.readers import Row
from finetune.data.sampler import Order, Position, Sampler
from finetune.data.shards import Shards
from finetune.data.windows import fill, seen_fps, window
from finetune.errors import BadSample, CacheError


class Sample(NamedTuple):
    """One clip's window: either moments or pixels, either states or none."""

    mean: Tensor | None  # [T, 4, h, w]
    std: Tensor | None
    pixels: Tensor | None  # [T, 3, H, W] in [-1, 1]
    states: Tensor | None  # [tokens, C]
    caption: str
    fps: float


NO_TENSORS: dict[str, Any] = dict.fromkeys(("mean", "std", "pixels", "states"))


@dataclass(frozen=True)
class Batch:
    """One rank's share of one step, or a micro-batch of it.

    Bad samples are left out and named. A micro-batch is full again: blanks of weight 0 stand in
    for them, so that shapes never change and ranks that share their backward passes keep step.
    """

    order: Order
    samples: tuple[Sample, ...]
    seeds: tuple[int, ...]
    skipped: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def micro(self) -> Iterator[Batch]:
        """In parts of the bucket's `micro` clips."""
        bucket = self.order.slot.bucket
        missing = bucket.batch - len(self)
        blank = [self.samples[0]] if self.samples else [blank_sample(self.order)]
        samples = self.samples + tuple(blank * missing)
        seeds = self.seeds + (0,) * missing
        weights = (1.0,) * len(self) + (0.0,) * missing
        for i in range(0, bucket.batch, bucket.micro or bucket.batch):
            part = slice(i, i + (bucket.micro or bucket.batch))
            yield Batch(self.order, samples[part], seeds[part], (), weights[part])


def blank_sample(order: Order) -> Sample:
    """A black clip without a word, for a rank that has lost all of its samples."""
    pixels = torch.zeros(order.slot.bucket.frames, 3, *order.slot.size)
    return Sample(None, None, pixels, None, "", 1.0)


class Loading:
    """Loads the clips of orders; sent to the loader's processes, so it holds no open file."""

    def __init__(self, index_folder: Path, recipe: Recipe, index: Index) -> None:
        self.index_folder, self.recipe = index_folder, recipe
        self._index: Index | None = None
        self._texts: Shards | None = None
        self._latents: dict[tuple[int, int], Shards] = {}
        if recipe.source == "cache":
            name = text_name(recipe, index)
            self._texts = open_store(Path(recipe.cache), "text", name)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_index": None}

    def __call__(self, order: Order) -> Batch:
        """The order's batch; samples that cannot be had are named, not replaced."""
        samples, seeds, skipped = [], [], []
        for number, seed in zip(order.clips, order.seeds, strict=True):
            row = self.index.row(number)
            try:
                samples.append(self._load(row, order, seed))
                seeds.append(seed)
            except (BadSample, CacheError) as error:
                skipped.append(f"{row.sha256.hex()[:12]}: {error}")
        return Batch(order, tuple(samples), tuple(seeds), tuple(skipped))

    @property
    def index(self) -> Index:
        if self._index is None:
            self._index = Index.open(self.index_folder)
        return self._index

    def _load(self, row: Row, order: Order, seed: int) -> Sample:
        bucket = order.slot.bucket
        interval = 1 if bucket.frames == 1 else self.recipe.frame_interval
        chance = float(np.random.default_rng(seed).random())
        numbers = window(row.frames, bucket.frames, interval, chance)
        fps = seen_fps(row.fps, interval, frames=bucket.frames, told=self.recipe.fps)
        if self._texts is None:
            pixels = self._pixels(row, numbers, order.slot.size)
            return Sample(None, None, pixels, None, row.caption, fps)
        found = self._store(order.slot.size).read(row.sha256.hex(), ("mean", "std"), numbers)
        states = self._texts.read(caption_key(row.caption), ("states",))["states"][0]
        return Sample(found["mean"], found["std"], None, states, row.caption, fps)

    def _pixels(self, row: Row, numbers: NDArray[np.int64], size: tuple[int, int]) -> Tensor:
        from finetune.data.media import decode, read_media

        return fill(decode(read_media(row.file, row.group, row.place), numbers), *size)

    def _store(self, size: tuple[int, int]) -> Shards:
        if size not in self._latents:
            place = f"{size[0]}x{size[1]}"
            cache, name = Path(self.recipe.cache), self.recipe.vae
            self._latents[size] = open_store(cache, "latents", name, place)
        return self._latents[size]


class _Orders(torch.utils.data.Sampler[Order]):
    def __init__(self, sampler: Sampler, position: Position, rank: int, world: int) -> None:
        self._orders = sampler.orders(position, rank=rank, world=world)

    def __iter__(self) -> Iterator[Order]:
        return self._orders


class _Clips(torch.utils.data.Dataset[tuple[Batch, Packed]]):
    """Batches for a journey: without their tensors, and the tensors packed."""

    def __init__(self, load: Loading) -> None:
        self.load = load

    def __getitem__(self, order: Order) -> tuple[Batch, Packed]:
        batch = self.load(order)
        tensors = [t for s in batch.samples for t in (s.mean, s.std, s.pixels, s.states)]
        bare = tuple(sample._replace(**NO_TENSORS) for sample in batch.samples)
        return replace(batch, samples=bare), pack(tensors)


def _arrived(batch: Batch, packed: Packed) -> Batch:
    tensors = iter(unpack(packed))
    fours = zip(*[tensors] * len(NO_TENSORS), strict=True)
    full = [
        Sample(mean, std, pixels, states, bare.caption, bare.fps)
        for (mean, std, pixels, states), bare in zip(fours, batch.samples, strict=True)
    ]
    return replace(batch, samples=tuple(full))


def batches(
    load: Loading, sampler: Sampler, position: Position, *, rank: int, world: int, workers: int
) -> Iterator[Batch]:
    """This rank's batches from a position on, for ever, loaded ahead by `workers` processes."""
    loader = DataLoader(
        _Clips(load),
        sampler=_Orders(sampler, position, rank, world),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        collate_fn=_as_it_is,
        worker_init_fn=_deaf,
        pin_memory=torch.cuda.is_available(),  # so that copies to the GPU do not wait
    )
    return (_arrived(*travelled) for travelled in loader)


def _deaf(_worker: int) -> None:
    """Signals are for the training process, which wants batches until its last step is saved.

    Schedulers send SIGTERM, and terminals SIGINT, to every process of a job.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _as_it_is(batch: Any) -> Any:
    return batch
