"""Load a recipe's two frozen encoders, and name them for the cache."""

from __future__ import annotations

import torch

from finetune.config import Recipe
from finetune.data.index import Index
from finetune.models.stdit2.text_encoder import TextEncoder
from finetune.models.stdit2.vae import VAE
from finetune.tensors import DTYPES

TINY_RANDOM = "tiny-random"
TINY_SEED = 0  # not the run's seed, so that runs with other seeds share a cache


def text_encoder_name(recipe: Recipe, index: Index) -> str:
    """Return the name of the text encoder in a cache; the tiny one depends on the captions."""
    return (
        f"{TINY_RANDOM}:{index.fingerprint[:12]}"
        if recipe.text_encoder == TINY_RANDOM
        else recipe.text_encoder
    )


def load_vae(recipe: Recipe, device: torch.device) -> VAE:
    """Load the recipe's VAE on a device, in the run's precision."""
    if recipe.vae == TINY_RANDOM:
        return VAE.tiny_random(TINY_SEED).to(device)
    return VAE.from_pretrained(recipe.vae, dtype=DTYPES[recipe.precision], device=device)


def load_text_encoder(recipe: Recipe, index: Index, device: torch.device) -> TextEncoder:
    """Load the recipe's text encoder on a device, in the run's precision."""
    if recipe.text_encoder == TINY_RANDOM:
        captions = sorted({index.row(number).caption for number in range(len(index))})
        width = recipe.network.caption_channels
        tiny = TextEncoder.tiny_random(captions, TINY_SEED, width=width, tokens=recipe.text_tokens)
        return tiny.to(device)
    return TextEncoder.from_pretrained(
        recipe.text_encoder,
        dtype=DTYPES[recipe.precision],
        device=device,
        tokens=recipe.text_tokens,
    )
