"""A synthetic dataset in the real formats: an index, a cache of latents and text, pixels."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune.config import Recipe
from finetune.data.cache_layout import caption_key, index_folder
from finetune.data.index import Index, write_index
from finetune.data.loader import SampleLoader
from finetune.data.rows import DatasetRow
from finetune.data.sampler import BatchSpec
from finetune.data.samples import Sample
from finetune.data.shards import ShardWriter, write_key_index
from finetune.models.stdit2.vae import VAE
from finetune.models.text_encoder import TextEncoder

CLIPS = 64
CAPTIONS = 16
WORDS = ("a minifigure walks past", "the red castle wall", "while snow falls", "and trees sway")
HEIGHT, WIDTH = 360, 640
ENCODER = "random"  # the recipe's name of both encoders


def build(recipe: Recipe, frames: int) -> Index:
    """Index clips of so many frames at 16:9, and cache random float16 latents and text states."""
    rows = [_row(number, frames) for number in range(CLIPS)]
    index = write_index(rows, index_folder(recipe))
    cache = Path(recipe.cache)
    _latents(cache / "latents-random" / f"{HEIGHT}x{WIDTH}", rows)
    _states(cache / "text-random", rows, recipe.network.caption_channels)
    return index


def caption(number: int) -> str:
    """Return a caption of 40 to 160 words, the length of real ones."""
    phrases = 10 + number % CAPTIONS * 2
    return f"scene {number % CAPTIONS}: " + " ".join(WORDS[i % 4] for i in range(phrases))


def _row(number: int, frames: int) -> DatasetRow:
    return DatasetRow(
        sha256=hashlib.sha256(str(number).encode()).digest(),
        caption=caption(number),
        frames=frames,
        fps=Fraction(24),
        height=HEIGHT,
        width=WIDTH,
        file="none.parquet",
        row_group=0,
        row_in_group=number,
    )


def _latents(folder: Path, rows: list[DatasetRow]) -> None:
    writer = ShardWriter(folder, "000")
    for row in rows:
        shape = (row.frames, 4, *VAE.latent_size(HEIGHT, WIDTH))
        mean, std = torch.randn(shape).half(), 0.1 * torch.rand(shape).half()
        writer.add(row.sha256.hex(), {"mean": mean, "std": std})
    writer.close()
    write_key_index(folder, {"encoder": ENCODER})


def _states(folder: Path, rows: list[DatasetRow], width: int) -> None:
    writer = ShardWriter(folder, "000")
    for text in sorted({row.caption for row in rows}):
        tokens = min(200, len(text.split()) * 5 // 4)
        writer.add(caption_key(text), {"states": torch.randn(1, tokens, width).half()})
    writer.close()
    write_key_index(folder, {"encoder": ENCODER})


class NoisePixels(SampleLoader):
    """A loader of random pixels: the traffic between processes without a decoder."""

    def _load(self, row: DatasetRow, spec: BatchSpec, seed: int) -> Sample:
        frames = spec.aspect_bucket.bucket.frames
        numbers = np.random.default_rng(seed).integers(0, 256, (1, 3, HEIGHT, WIDTH), np.uint8)
        pixels = torch.from_numpy(numbers).half().div_(127.5).sub_(1).expand(frames, -1, -1, -1)
        return Sample({"pixels": pixels.contiguous()}, {}, row.caption, 24.0)


def large_vae(device: torch.device) -> VAE:
    """Return the network of sd-vae-ft-ema with random weights, bfloat16."""
    from diffusers import AutoencoderKL

    with device:
        network = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=4,
        )
    return VAE(network.bfloat16())


def large_text(device: torch.device) -> TextEncoder:
    """Return the encoder of T5 v1.1 XXL with random weights, bfloat16."""
    from transformers import T5Config, T5EncoderModel

    small = TextEncoder.tiny_random([caption(n) for n in range(CAPTIONS)], 0)
    config = T5Config(
        vocab_size=32128,
        d_model=4096,
        d_kv=64,
        d_ff=10240,
        num_layers=24,
        num_heads=64,
        feed_forward_proj="gated-gelu",
    )
    with torch.device("meta"):
        network: Any = T5EncoderModel(config).bfloat16()
    network.to_empty(device=device)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.02)
    return TextEncoder(network, small.tokenizer)
