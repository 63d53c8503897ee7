"""Load batches: cached latents or decoded pixels, captions and frame rates."""

from __future__ import annotations

import re
import signal
import threading
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader

from brickfilm.errors import BrickfilmError
from brickfilm.files import exit_with_parent
from brickfilm.schema.stop_signals import STOP_SIGNALS
from finetune.config import Recipe
from finetune.data.cache_layout import (
    caption_key,
    frame_numbers,
    open_store,
    open_text_store,
    window_key,
)
from finetune.data.encoders import text_encoder_name
from finetune.data.index import Index
from finetune.data.packing import PackedTensors, pack_tensors, unpack_tensors
from finetune.data.row_media import read_media
from finetune.data.rows import DatasetRow
from finetune.data.sampler import BatchSpec, Sampler, SamplerState
from finetune.data.samples import LoadTimes, Sample, load_pixels, sample_window
from finetune.data.shards import ShardReader
from finetune.data.windows import Window
from finetune.errors import BadSample, CacheError, DataError, FinetuneError, LoaderKilled
from finetune.models import find_family
from finetune.models.family import TensorDict


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
    # of all samples, and of what was read to find them
    load_times: LoadTimes = field(default_factory=LoadTimes)

    def __len__(self) -> int:
        return len(self.samples)

    def micro_batches(self) -> Iterator[Batch]:
        """Yield micro-batches of the bucket's `micro_batch_size` clips, filled up with blanks."""
        bucket = self.spec.aspect_bucket.bucket
        missing = bucket.batch_size - len(self)
        blank = [self.samples[0]] if self.samples else [BLANK_SAMPLE]
        samples = self.samples + tuple(blank * missing)
        seeds = self.seeds + (0,) * missing
        weights = (1.0,) * len(self) + (0.0,) * missing
        for i in range(0, bucket.batch_size, bucket.micro_batch_size or bucket.batch_size):
            part = slice(i, i + (bucket.micro_batch_size or bucket.batch_size))
            yield Batch(self.spec, samples[part], seeds[part], (), weights[part])


WORKER_KILLED = re.compile(r"DataLoader worker .*(killed|exited unexpectedly)")
BLANK_SAMPLE = Sample({}, {}, "", 1.0)
"""For a rank that lost all of its samples."""


class SampleLoader:
    """Load the samples of a batch spec; picklable, for the loader's processes."""

    def __init__(self, index_folder: Path, recipe: Recipe, index: Index) -> None:
        self.index_folder, self.recipe = index_folder, recipe
        self.family = find_family(recipe.family)
        self._index: Index | None = None
        self._fingerprint = index.fingerprint
        self._text_store: ShardReader | None = None
        self._latent_stores: dict[tuple[int, int], ShardReader] = {}
        if recipe.latents == "cached":
            self._text_store = open_text_store(recipe, text_encoder_name(recipe, index))

    def __getstate__(self) -> dict[str, object]:
        state = {**self.__dict__, "_index": None}
        return {name: value for name, value in state.items() if name != "family"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, family=find_family(state["recipe"].family))

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
        times = sum((sample.times for sample in samples), LoadTimes())
        return Batch(spec, tuple(samples), tuple(seeds), tuple(skipped), load_times=times)

    @property
    def index(self) -> Index:
        if self._index is None:
            opened = Index.open(self.index_folder)
            if opened.fingerprint != self._fingerprint:
                raise DataError(
                    f"{self.recipe.dataset} changed, and another command indexed it anew, while "
                    "this run began: start again"
                )
            self._index = opened
        return self._index

    def _load(self, row: DatasetRow, spec: BatchSpec, seed: int) -> Sample:
        size = spec.aspect_bucket.size
        window, fps = sample_window(row, spec.aspect_bucket, seed, self.recipe, self.family)
        if self._text_store is None:
            self.index.check_unchanged(row.file)
            pixels, times = load_pixels(row, lambda: read_media(row), window, size, self.recipe)
            return Sample({"pixels": pixels}, {}, row.caption, fps, times)
        states = self._text_store.read(caption_key(row.caption))
        text = {name: value[0] for name, value in states.items()}
        latents = self._latents(row, window, size)
        for what, tensors in {"its latent": latents, "its caption's states": text}.items():
            if not all(tensor.isfinite().all() for tensor in tensors.values()):
                raise CacheError(
                    f"{what} in cache {self.recipe.cache} has NaN or infinity: delete that cache, "
                    "and run `finetune cache` with precision=float32"
                )
        return Sample(latents, text, row.caption, fps)

    def _latents(self, row: DatasetRow, window: Window, size: tuple[int, int]) -> TensorDict:
        store = self._store(size)
        if self.family.frame_latents:
            numbers = frame_numbers(row, window, self.recipe)
            return store.read(window_key(row, None, self.recipe), rows=numbers)
        parts = store.read(window_key(row, window, self.recipe))
        return {name: value[0] for name, value in parts.items()}

    def _store(self, size: tuple[int, int]) -> ShardReader:
        if size not in self._latent_stores:
            cache, vae = Path(self.recipe.cache), self.recipe.vae
            self._latent_stores[size] = open_store(cache, "latents", vae, f"{size[0]}x{size[1]}")
        return self._latent_stores[size]


class PackedBatch(NamedTuple):
    """A batch to send between processes: without tensors, their names, and the tensors packed."""

    batch: Batch
    names: list[tuple[tuple[str, ...], tuple[str, ...]]]  # of window and text, of each sample
    tensors: PackedTensors


class _BatchSpecSampler(torch.utils.data.Sampler[BatchSpec]):
    def __init__(
        self, sampler: Sampler, sampler_state: SamplerState, rank: int, world_size: int
    ) -> None:
        self._batch_specs = sampler.batch_specs(sampler_state, rank=rank, world_size=world_size)

    def __iter__(self) -> Iterator[BatchSpec]:
        return self._batch_specs


class _BatchDataset(torch.utils.data.Dataset[PackedBatch | FinetuneError]):
    """Load batches, packed; an error is returned as a value."""

    def __init__(self, load: SampleLoader) -> None:
        self.load = load

    def __getitem__(self, spec: BatchSpec) -> PackedBatch | FinetuneError:
        try:
            batch = self.load(spec)
        except FinetuneError as error:
            return error
        names = [(tuple(s.window), tuple(s.text)) for s in batch.samples]
        tensors = [t for s in batch.samples for t in (*s.window.values(), *s.text.values())]
        bare = tuple(sample._replace(window={}, text={}) for sample in batch.samples)
        return PackedBatch(replace(batch, samples=bare), names, pack_tensors(tensors))


def _unpack_batch(batch: Batch, names: Iterable[Any], packed: PackedTensors) -> Batch:
    tensors: Iterator[Any] = iter(unpack_tensors(packed))
    full = [
        bare._replace(window=dict(zip(window, tensors)), text=dict(zip(text, tensors)))  # noqa: B905
        for bare, (window, text) in zip(batch.samples, names, strict=True)
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
    """Yield this rank's batches from a sampler state on, endlessly, prefetched by `workers`.

    Raise LoaderKilled if the system kills a loader process.
    """
    sampler_of_specs = _BatchSpecSampler(sampler, sampler_state, rank, world_size)
    for packed in iterate_loader(_BatchDataset(load), workers, sampler=sampler_of_specs):
        yield _unpack_batch(*packed)


def iterate_loader(dataset: Any, workers: int, **options: Any) -> Iterator[Any]:
    """Yield what a torch dataset gives, loaded by processes (0: in this one); raise its errors.

    An error travels as a value, since torch would add a traceback. Raise LoaderKilled if the system
    kills a loader process. options: of torch's DataLoader.
    """
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        collate_fn=_identity_collate,
        worker_init_fn=_init_worker,
        pin_memory=torch.cuda.is_available(),  # so that copies to the GPU do not wait
        **options,
    )
    try:
        for value in _iterate_without_sigchld(loader):
            if isinstance(value, BrickfilmError):
                raise value
            yield value
    except (RuntimeError, ConnectionError, EOFError) as error:  # the last two: amid a tensor
        if isinstance(error, RuntimeError) and not WORKER_KILLED.search(str(error)):
            raise
        traceback.clear_frames(error.__traceback__)  # its iterator, which ends the other processes
        raise LoaderKilled(
            f"a loader process was killed ({error!r:.120}), perhaps out of memory or "
            f"of room in /dev/shm: lower workers ({workers}), or give the job more of both"
        ) from error


def _iterate_without_sigchld(loader: DataLoader[Any]) -> Iterator[Any]:
    """Iterate without torch's handler of SIGCHLD, which raises wherever the training is.

    Waiting for a batch finds a dead worker too, at a place where the step is complete.
    """
    before = signal.getsignal(signal.SIGCHLD)
    iterator = iter(loader)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
    return iterator


def _init_worker(_worker: int) -> None:
    """Ignore SIGTERM, SIGHUP and SIGINT, and exit with the training process.

    Schedulers and terminals signal every process of a job, but the training process needs batches
    until its last step is saved.
    """
    exit_with_parent()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _identity_collate(batch: Any) -> Any:
    return batch
