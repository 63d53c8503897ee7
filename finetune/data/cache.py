"""Encode a dataset once: `finetune cache RECIPE [key=value ...] [--processes N] [--shard i/n]`.

The cache holds the latent mean and standard deviation of every frame, and the text states of every
caption, in shards keyed by the media's digest, the encoder's digest and the size, so any window of
a clip is exact. A second call encodes only what is missing; `--verify` reads everything back.
"""

from __future__ import annotations

import fcntl
import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from brickfilm.files import exit_with_parent
from brickfilm.schema.shard_number import ShardNumber
from finetune.config import Recipe
from finetune.data.bucket_coverage import bucket_coverage
from finetune.data.cache_layout import (
    TOKENS_ENTRY,
    CacheEntry,
    caption_key,
    entries_by_size,
    frame_numbers,
    index_dataset,
    index_folder,
    latent_folder,
    text_folder,
    window_key,
)
from finetune.data.encoders import (
    load_text_encoder,
    load_vae,
    long_caption_error,
    text_encoder_name,
    unique_captions,
)
from finetune.data.index import Index
from finetune.data.media import decode_frames, decode_in_chunks
from finetune.data.row_media import read_media
from finetune.data.rows import DatasetRow
from finetune.data.shards import (
    ABOUT_FILE,
    ShardReader,
    ShardWriter,
    delete_stale_temp_files,
    read_about,
    stored_keys,
    write_key_index,
)
from finetune.data.windows import Window, resize_and_crop
from finetune.errors import BadSample, CacheError, ConfigError
from finetune.models import find_family
from finetune.models.family import LatentCodec, TensorDict
from finetune.progress import ProgressLines
from finetune.tensors import DTYPES

WHOLE = ShardNumber(0, 1)
LOCK_FILE = "cache.lock"


@dataclass(frozen=True)
class EncodeJob:
    """The share of one encoding process."""

    recipe: Recipe
    part: int
    parts: int

    @property
    def device(self) -> torch.device:
        if self.recipe.device == "cpu" or not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.part % torch.cuda.device_count())


@dataclass
class CacheStats:
    """Counts of encoded clips and captions, of one process or of all."""

    clips: int = 0
    captions: int = 0
    truncated: int = 0  # captions longer than `text_tokens`
    failures: list[str] = field(default_factory=list)  # clips that could not be encoded: reasons
    stores: dict[Path, dict[str, str | int]] = field(default_factory=dict)  # folder -> about.json

    def add(self, other: CacheStats) -> None:
        self.clips += other.clips
        self.captions += other.captions
        self.truncated += other.truncated
        self.failures += other.failures
        self.stores |= other.stores


def build_cache(recipe: Recipe, processes: int = 1, shard: ShardNumber = WHOLE) -> CacheStats:
    """Encode missing clips and captions in several processes, then index every store.

    shard: the share of this machine; others encode the rest into the same folder at the same time.
    Raise DataError if no clip fits a bucket, WeightsError if `init` is another family's,
    ConfigError for a recipe that streams.
    """
    if recipe.streaming:
        raise ConfigError(
            "streaming = true encodes each clip while it trains, and caches none: start the "
            "training, or set streaming = false and latents = 'cached'"
        )
    if Path(recipe.init).exists():  # it may lie on the machine that trains alone
        find_family(recipe.family).check_init(recipe.init)
    with _cache_lock(Path(recipe.cache)):
        index_dataset(recipe)
        _check_any_entry(recipe)
        delete_stale_temp_files(Path(recipe.cache))
    parts = range(shard.index * processes, (shard.index + 1) * processes)
    jobs = [EncodeJob(recipe, part, shard.count * processes) for part in parts]
    stats = CacheStats()
    for part in map(run_encode_job, jobs) if processes == 1 else _run_in_processes(jobs):
        stats.add(part)
    with _cache_lock(Path(recipe.cache)):
        for folder, encoder in stats.stores.items():
            write_key_index(folder, encoder)
    return stats


def _check_any_entry(recipe: Recipe) -> None:
    """Raise the DataError of a training if there is nothing to encode."""
    index = Index.open(index_folder(recipe))
    if not any(entries_by_size(index, recipe).values()):
        bucket_coverage(index, recipe)


@contextmanager
def _cache_lock(cache: Path) -> Iterator[None]:
    """Wait until no other process writes an index of this cache."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / LOCK_FILE).open("a") as file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run_in_processes(jobs: Sequence[EncodeJob]) -> Iterator[CacheStats]:
    """Run each job in a process and yield its counts; raise CacheError if one is killed."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(jobs), mp_context=spawn, initializer=exit_with_parent) as pool:
        try:
            yield from pool.map(run_encode_job, jobs)
        except BrokenProcessPool as error:
            raise CacheError(
                "an encoding process was killed, perhaps out of memory: run the same command "
                f"again, which resumes here, with fewer than --processes {len(jobs)}"
            ) from error


def run_encode_job(job: EncodeJob) -> CacheStats:
    """Encode this process's share of the captions and clips that no shard holds yet."""
    index, stats = Index.open(index_folder(job.recipe)), CacheStats()
    with ProgressLines("loading the VAE"):  # first: one of another family raises
        vae = load_vae(job.recipe, job.device)
    _encode_captions(job, index, stats)
    _encode_clips(job, index, vae, stats)
    return stats


def _encode_captions(job: EncodeJob, index: Index, stats: CacheStats) -> None:
    recipe = job.recipe
    with ProgressLines("loading the text encoder"):
        encoder = load_text_encoder(recipe, index, job.device)
    folder = text_folder(recipe, encoder.digest)
    about = {"encoder": text_encoder_name(recipe, index), "digest": encoder.digest}
    stats.stores[folder] = {**about, TOKENS_ENTRY: recipe.text_tokens}
    writer, cached = ShardWriter(folder, f"{job.part:03d}"), {key for key, _ in stored_keys(folder)}
    null_caption = find_family(recipe.family).null_caption
    captions = [*unique_captions(index), *([] if null_caption is None else [null_caption])]
    for caption in ProgressLines("encoding captions").track(captions[job.part :: job.parts]):
        if caption_key(caption) in cached:
            continue
        (encoded,) = encoder.encode_captions([caption])
        if encoded.truncated_tokens and recipe.long_captions == "error":
            raise long_caption_error(caption, encoded.truncated_tokens, recipe.text_tokens)
        states = _as_one_row(encoded.tensors, recipe)
        if not _all_finite(states):
            raise CacheError(
                f"the states of {caption[:60]!r} are not all finite in {recipe.precision}: run "
                "`finetune cache` with precision=bfloat16 or float32"
            )
        writer.add(caption_key(caption), states)
        stats.captions += 1
        stats.truncated += bool(encoded.truncated_tokens)
    writer.close()


def _as_one_row(tensors: TensorDict, recipe: Recipe) -> dict[str, Tensor]:
    """Return tensors [1, ...] on the CPU in the cache's precision."""
    return {n: t.to("cpu", DTYPES[recipe.cache_dtype])[None] for n, t in tensors.items()}


def _encode_clips(job: EncodeJob, index: Index, vae: LatentCodec, stats: CacheStats) -> None:
    recipe = job.recipe
    for size, entries in entries_by_size(index, recipe).items():
        folder = latent_folder(recipe, vae.digest, size)
        stats.stores[folder] = {"encoder": recipe.vae, "digest": vae.digest}
        writer = ShardWriter(folder, f"{job.part:03d}")
        cached = {key for key, _ in stored_keys(folder)}
        share = ProgressLines(f"encoding clips at {size[0]}x{size[1]}").track(
            entries[job.part :: job.parts]
        )
        for key, row, window in _missing_entries(index, share, cached, recipe):
            index.check_unchanged(row.file)
            try:
                latents = _encode_entry(row, window, vae, size, recipe)
                if not _all_finite(latents):
                    raise BadSample(
                        f"its latent has NaN or infinity in {recipe.precision}, stored as "
                        f"{recipe.cache_dtype}: set precision or cache_dtype to float32"
                    )
                writer.add(key, latents)
                stats.clips += 1
            except BadSample as error:
                stats.failures.append(f"{key[:12]} {error}")
        writer.close()


def _all_finite(tensors: Mapping[str, Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors.values())


def _missing_entries(
    index: Index, entries: Iterable[CacheEntry], cached: set[str], recipe: Recipe
) -> Iterator[tuple[str, DatasetRow, Window | None]]:
    """Yield the entries that are not cached, each key once; add them to `cached`."""
    for clip, window in entries:
        row = index.row(clip)
        key = window_key(row, window, recipe)
        if key not in cached:
            cached.add(key)
            yield key, row, window


def _encode_entry(
    row: DatasetRow, window: Window | None, vae: LatentCodec, size: tuple[int, int], recipe: Recipe
) -> dict[str, Tensor]:
    """Encode a window at this (height, width) as one row, or a whole clip as a row per frame."""
    media, stored = read_media(row), (row.height, row.width)
    if window is not None:
        frames = decode_frames(media, frame_numbers(row, window, recipe), stored)
        pixels = resize_and_crop(frames, *size)
        return _as_one_row(vae.encode_window(pixels), recipe)
    chunks = [
        vae.encode_window(resize_and_crop(frames, *size))
        for frames in decode_in_chunks(media, row.frames, stored)
    ]
    dtype = DTYPES[recipe.cache_dtype]
    return {name: torch.cat([c[name] for c in chunks]).to("cpu", dtype) for name in chunks[0]}


def verify(recipe: Recipe) -> int:
    """Read every entry of the cache, compare checksums, and return the number of entries.

    Stores are indexed first, since a killed build leaves shards newer than their index.
    """
    checked = 0
    for about in sorted(Path(recipe.cache).rglob(ABOUT_FILE)):
        keys = [key for key, _ in stored_keys(about.parent)]
        write_key_index(about.parent, read_about(about.parent))
        shards = ShardReader(about.parent)
        for key in ProgressLines(f"verifying {about.parent}").track(keys):
            shards.read(key)
        checked += len(keys)
    return checked


def cache_lines(
    recipe: Recipe, processes: int, *, check: bool, shard: ShardNumber = WHOLE
) -> Iterator[str]:
    """Build the cache of a recipe, verify it if `check`, and yield a report of lines."""
    stats = build_cache(recipe, processes, shard)
    latents = "clips" if find_family(recipe.family).frame_latents else "windows"
    captions = f"{stats.captions} captions, {stats.truncated} truncated"
    yield f"encoded {stats.clips} {latents} and {captions}"
    for text, times in Counter(stats.failures).items():
        yield f"skipped {text}" + (f" ({times} times)" if times > 1 else "")
    if check:
        yield f"verified {verify(recipe)} entries: all checksums match"
