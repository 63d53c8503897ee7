"""Encode a dataset once: `finetune cache RECIPE [key=value ...] [--processes N]`.

Every frame's latent mean and standard deviation, and every caption's text states, in shards keyed
by the media's digest, the encoder's digest and the size: any window of a clip is then exact. A
second call encodes only what is missing; `--verify` reads everything back.
"""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brickfilm.files import exit_with_parent
from finetune.config import Recipe
from finetune.data.cache_layout import (
    caption_key,
    clips_by_size,
    index_folder,
    latent_folder,
    text_folder,
)
from finetune.data.encoders import load_text_encoder, load_vae, text_encoder_name
from finetune.data.index import Index, build_index
from finetune.data.media import decode_in_chunks, read_media
from finetune.data.readers import DatasetRow
from finetune.data.shards import (
    ShardReader,
    ShardWriter,
    delete_stale_temp_files,
    stored_keys,
    write_key_index,
)
from finetune.data.windows import resize_and_crop
from finetune.errors import BadSample, CacheError, ConfigError
from finetune.models.stdit2.vae import VAE
from finetune.tensors import DTYPES


@dataclass(frozen=True)
class EncodeJob:
    """One process's part of the work."""

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
    """What was done, by one process or by all."""

    clips: int = 0
    captions: int = 0
    truncated: int = 0  # captions longer than the encoder's tokens
    failures: list[str] = field(default_factory=list)  # clips that could not be encoded, and why
    stores: dict[Path, dict[str, str]] = field(default_factory=dict)  # folder -> its encoder

    def add(self, other: CacheStats) -> None:
        self.clips += other.clips
        self.captions += other.captions
        self.truncated += other.truncated
        self.failures += other.failures
        self.stores |= other.stores


def build_cache(recipe: Recipe, processes: int = 1) -> CacheStats:
    """Encode what is missing with several processes, then index every store."""
    build_index(recipe.dataset, index_folder(recipe))
    delete_stale_temp_files(Path(recipe.cache))
    jobs = [EncodeJob(recipe, part, processes) for part in range(processes)]
    made = CacheStats()
    for part in map(run_encode_job, jobs) if processes == 1 else _run_in_processes(jobs):
        made.add(part)
    for folder, encoder in made.stores.items():
        write_key_index(folder, encoder)
    return made


def _run_in_processes(jobs: Sequence[EncodeJob]) -> Iterator[CacheStats]:
    """What each job's own process made; raises CacheError if one of them is killed."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(jobs), mp_context=spawn, initializer=exit_with_parent) as pool:
        try:
            yield from pool.map(run_encode_job, jobs)
        except BrokenProcessPool as error:
            raise CacheError(
                "a process was killed, perhaps for want of memory: run the same command again, "
                f"which goes on from here, with fewer than --processes {len(jobs)}"
            ) from error


def run_encode_job(job: EncodeJob) -> CacheStats:
    """Encode this process's share of what no shard holds yet."""
    index, made = Index.open(index_folder(job.recipe)), CacheStats()
    _encode_captions(job, index, made)
    _encode_clips(job, index, made)
    return made


def _encode_captions(job: EncodeJob, index: Index, made: CacheStats) -> None:
    recipe, encoder = job.recipe, load_text_encoder(job.recipe, index, job.device)
    folder = text_folder(recipe, encoder.digest)
    made.stores[folder] = {"encoder": text_encoder_name(recipe, index), "digest": encoder.digest}
    writer, held = ShardWriter(folder, f"{job.part:03d}"), {key for key, _ in stored_keys(folder)}
    captions = sorted({index.row(number).caption for number in range(len(index))})
    for caption in captions[job.part :: job.parts]:
        if caption_key(caption) in held:
            continue
        states, mask, lost = encoder.encode([caption])
        if lost[0] and recipe.long_captions == "error":
            raise ConfigError(
                f"a caption is {lost[0]} tokens over {recipe.text_tokens}: {caption[:60]!r}...; "
                "shorten it, or set long_captions = 'truncate'"
            )
        kept = states[0][mask[0]].to("cpu", DTYPES[recipe.cache_dtype])
        writer.add(caption_key(caption), {"states": kept[None]})
        made.captions += 1
        made.truncated += bool(lost[0])
    writer.close()


def _encode_clips(job: EncodeJob, index: Index, made: CacheStats) -> None:
    recipe, vae = job.recipe, load_vae(job.recipe, job.device)
    for size, numbers in clips_by_size(index, recipe).items():
        folder = latent_folder(recipe, vae.digest, size)
        made.stores[folder] = {"encoder": recipe.vae, "digest": vae.digest}
        writer = ShardWriter(folder, f"{job.part:03d}")
        held = {key for key, _ in stored_keys(folder)}
        for key, row in _missing_clips(index, numbers, held, job):
            try:
                writer.add(key, _latent_mean_and_std(row, vae, size, DTYPES[recipe.cache_dtype]))
                made.clips += 1
            except BadSample as error:
                made.failures.append(f"{key[:12]} {error}")
        writer.close()


def _missing_clips(
    index: Index, numbers: NDArray[np.int64], held: set[str], job: EncodeJob
) -> Iterator[tuple[str, DatasetRow]]:
    """This process's clips that are not held; media in two rows are encoded once."""
    for number in numbers[job.part :: job.parts].tolist():
        row = index.row(number)
        if row.sha256.hex() not in held:
            held.add(row.sha256.hex())
            yield row.sha256.hex(), row


def _latent_mean_and_std(
    row: DatasetRow, vae: VAE, size: tuple[int, int], dtype: torch.dtype
) -> dict[str, Tensor]:
    """mean and std [frames, 4, h, w] of a clip at this (height, width)."""
    media = read_media(row.file, row.row_group, row.row_in_group)
    parts = [
        vae.encode_distribution(resize_and_crop(p, *size))
        for p in decode_in_chunks(media, row.frames)
    ]
    return {
        "mean": torch.cat([part.mean for part in parts]).to("cpu", dtype),
        "std": torch.cat([part.std for part in parts]).to("cpu", dtype),
    }


def verify(recipe: Recipe) -> int:
    """Read every entry of the cache back, checksums compared; gives how many there are.

    Stores are indexed first: a build that was killed leaves shards newer than their index.
    """
    checked = 0
    for about in sorted(Path(recipe.cache).rglob("about.json")):
        keys = [key for key, _ in stored_keys(about.parent)]
        write_key_index(about.parent, json.loads(about.read_text()))
        shards = ShardReader(about.parent)
        names = ("states",) if about.parent.name.startswith("text-") else ("mean", "std")
        for key in keys:
            shards.read(key, names)
        checked += len(keys)
    return checked


def cache_lines(recipe: Recipe, processes: int, *, check: bool) -> Iterator[str]:
    """Build the cache of a recipe, verify it where asked, and yield lines that say what was done."""
    made = build_cache(recipe, processes)
    yield f"encoded {made.clips} clips and {made.captions} captions, {made.truncated} cut"
    for text, times in Counter(made.failures).items():
        yield f"skipped {text}" + (f" ({times} times)" if times > 1 else "")
    if check:
        yield f"read back {verify(recipe)} entries: all as written"
