"""Load batches: cached latents or decoded pixels, captions and frame rates."""

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

from brickfilm.files import exit_with_parent
from finetune.config import Recipe
from finetune.data.cache_layout import caption_key, open_store
from finetune.data.encoders import text_encoder_name
from finetune.data.index import Index
from finetune.data.packing import PackedTensors, pack_tensors, unpack_tensors
from finetune.data.readers import DatasetRow
from finetune.data.sampler import BatchSpec, Sampler, SamplerState
from finetune.data.shards import ShardReader
from finetune.data.windows import conditioning_fps, resize_and_crop, window_frame_indices
from finetune.errors import BadSample, CacheError


class Sample(NamedTuple):
    """A window of a clip: cached latent mean, std and text states, or pixels."""

    mean: Tensor | None  # [T, 4, h, w]
    std: Tensor | None
    pixels: Tensor | None  # [T, 3, H, W] in [-1, 1]
    states: Tensor | None  # [tokens, C]
    caption: str
    fps: float


EMPTY_TENSOR_FIELDS: dict[str, Any] = dict.fromkeys(("mean", "std", "pixels", "states"))


@dataclass(frozen=True)
class Batch:
    """One rank's share of one step, or a micro-batch of it.

    A batch skips bad samples and names them. A micro-batch replaces them by blank samples of weight
    0, so that shapes never change and all ranks run the same number of backward passes.
    """

    spec: BatchSpec
    samples: tuple[Sample, ...]
    seeds: tuple[int, ...]
    skipped: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def micro_batches(self) -> Iterator[Batch]:
        """Yield micro-batches of the bucket's `micro_batch_size` clips, filled up with blanks."""
        bucket = self.spec.aspect_bucket.bucket
        missing = bucket.batch_size - len(self)
        blank = [self.samples[0]] if self.samples else [blank_sample(self.spec)]
        samples = self.samples + tuple(blank * missing)
        seeds = self.seeds + (0,) * missing
        weights = (1.0,) * len(self) + (0.0,) * missing
        for i in range(0, bucket.batch_size, bucket.clips_per_pass):
            part = slice(i, i + bucket.clips_per_pass)
            yield Batch(self.spec, samples[part], seeds[part], (), weights[part])


def blank_sample(spec: BatchSpec) -> Sample:
    """Return a black clip without a caption, for a rank that lost all of its samples."""
    pixels = torch.zeros(spec.aspect_bucket.bucket.frames, 3, *spec.aspect_bucket.size)
    return Sample(None, None, pixels, None, "", 1.0)


class SampleLoader:
    """Load the samples of a batch spec; picklable, for the loader's processes."""

    def __init__(self, index_folder: Path, recipe: Recipe, index: Index) -> None:
        self.index_folder, self.recipe = index_folder, recipe
        self._index: Index | None = None
        self._text_store: ShardReader | None = None
        self._latents: dict[tuple[int, int], ShardReader] = {}
        if recipe.latents == "cached":
            name = text_encoder_name(recipe, index)
            self._text_store = open_store(Path(recipe.cache), "text", name)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_index": None}

    def __call__(self, spec: BatchSpec) -> Batch:
        """Load a batch; skip and name samples that cannot be loaded."""
        samples, seeds, skipped = [], [], []
        for number, seed in zip(spec.clips, spec.seeds, strict=True):
            row = self.index.row(number)
            try:
                samples.append(self._load(row, spec, seed))
                seeds.append(seed)
            except (BadSample, CacheError) as error:
                skipped.append(f"{row.sha256.hex()[:12]}: {error}")
        return Batch(spec, tuple(samples), tuple(seeds), tuple(skipped))

    @property
    def index(self) -> Index:
        if self._index is None:
            self._index = Index.open(self.index_folder)
        return self._index

    def _load(self, row: DatasetRow, spec: BatchSpec, seed: int) -> Sample:
        bucket = spec.aspect_bucket.bucket
        interval = 1 if bucket.frames == 1 else self.recipe.frame_interval
        uniform = float(np.random.default_rng(seed).random())
        numbers = window_frame_indices(row.frames, bucket.frames, interval, uniform)
        fps = conditioning_fps(row.fps, interval, frames=bucket.frames, fps_source=self.recipe.fps)
        if self._text_store is None:
            pixels = self._pixels(row, numbers, spec.aspect_bucket.size)
            return Sample(None, None, pixels, None, row.caption, fps)
        store = self._store(spec.aspect_bucket.size)
        latents = store.read(row.sha256.hex(), ("mean", "std"), numbers)
        states = self._text_store.read(caption_key(row.caption), ("states",))["states"][0]
        return Sample(latents["mean"], latents["std"], None, states, row.caption, fps)

    def _pixels(self, row: DatasetRow, numbers: NDArray[np.int64], size: tuple[int, int]) -> Tensor:
        from finetune.data.media import decode_frames, read_media

        media = read_media(row.file, row.row_group, row.row_in_group)
        return resize_and_crop(decode_frames(media, numbers), *size)

    def _store(self, size: tuple[int, int]) -> ShardReader:
        if size not in self._latents:
            cache, vae = Path(self.recipe.cache), self.recipe.vae
            self._latents[size] = open_store(cache, "latents", vae, f"{size[0]}x{size[1]}")
        return self._latents[size]


class _BatchSpecSampler(torch.utils.data.Sampler[BatchSpec]):
    def __init__(
        self, sampler: Sampler, sampler_state: SamplerState, rank: int, world_size: int
    ) -> None:
        self._batch_specs = sampler.batch_specs(sampler_state, rank=rank, world_size=world_size)

    def __iter__(self) -> Iterator[BatchSpec]:
        return self._batch_specs


class _BatchDataset(torch.utils.data.Dataset[tuple[Batch, PackedTensors]]):
    """Load batches to send between processes: batches without tensors, and the tensors packed."""

    def __init__(self, load: SampleLoader) -> None:
        self.load = load

    def __getitem__(self, spec: BatchSpec) -> tuple[Batch, PackedTensors]:
        batch = self.load(spec)
        tensors = [t for s in batch.samples for t in (s.mean, s.std, s.pixels, s.states)]
        bare = tuple(sample._replace(**EMPTY_TENSOR_FIELDS) for sample in batch.samples)
        return replace(batch, samples=bare), pack_tensors(tensors)


def _unpack_batch(batch: Batch, packed: PackedTensors) -> Batch:
    tensors = iter(unpack_tensors(packed))
    fours = zip(*[tensors] * len(EMPTY_TENSOR_FIELDS), strict=True)
    full = [
        Sample(mean, std, pixels, states, bare.caption, bare.fps)
        for (mean, std, pixels, states), bare in zip(fours, batch.samples, strict=True)
    ]
    return replace(batch, samples=tuple(full))


def batches(
    load: SampleLoader,
    sampler: Sampler,
    sampler_state: SamplerState,
    *,
    rank: int,
    world_size: int,
    workers: int,
) -> Iterator[Batch]:
    """Yield this rank's batches from a sampler state on, endlessly, prefetched by `workers`."""
    loader = DataLoader(
        _BatchDataset(load),
        sampler=_BatchSpecSampler(sampler, sampler_state, rank, world_size),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        collate_fn=_identity_collate,
        worker_init_fn=_init_worker,
        pin_memory=torch.cuda.is_available(),  # so that copies to the GPU do not wait
    )
    return (_unpack_batch(*packed) for packed in loader)


def _init_worker(_worker: int) -> None:
    """Ignore SIGTERM and SIGINT, and exit with the training process.

    Schedulers and terminals signal every process of a job, but the training process needs batches
    until its last step is saved.
    """
    exit_with_parent()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _identity_collate(batch: Any) -> Any:
    return batch
