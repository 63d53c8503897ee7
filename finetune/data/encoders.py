"""Load the VAE and text encoder of a recipe, and name them in its cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from finetune.config import Recipe
from finetune.data.cache_layout import caption_key, open_text_store
from finetune.data.index import Index
from finetune.errors import ConfigError
from finetune.models import find_family
from finetune.models.family import (
    TINY_RANDOM,
    CaptionEncoder,
    LatentCodec,
    TensorDict,
    TextSize,
)
from finetune.tensors import DTYPES


def text_encoder_name(recipe: Recipe, index: Index) -> str:
    """Return the cache's name of a text encoder; the tiny one's tokenizer is of the captions."""
    return (
        f"{TINY_RANDOM}:{index.fingerprint[:12]}"
        if recipe.text_encoder == TINY_RANDOM
        else recipe.text_encoder
    )


def load_vae(recipe: Recipe, device: torch.device) -> LatentCodec:
    """Load the recipe's VAE on a device, in the run's precision."""
    family = find_family(recipe.family)
    return family.load_codec(recipe.vae, dtype=DTYPES[recipe.precision], device=device)


def load_text_encoder(recipe: Recipe, index: Index, device: torch.device) -> CaptionEncoder:
    """Load the recipe's text encoder on a device, in the run's precision."""
    return load_caption_encoder(recipe, lambda: unique_captions(index), device)


def load_caption_encoder(
    recipe: Recipe, captions: Callable[[], Sequence[str]], device: torch.device
) -> CaptionEncoder:
    """Load the recipe's text encoder; the tiny one's tokenizer is trained on the captions."""
    return find_family(recipe.family).load_caption_encoder(
        recipe.text_encoder,
        TextSize(recipe.text_tokens, recipe.network.caption_channels),
        captions,
        dtype=DTYPES[recipe.precision],
        device=device,
    )


def long_caption_error(caption: str, excess: int, tokens: int) -> ConfigError:
    """Return the error for a caption over `text_tokens` where those are not to be truncated."""
    return ConfigError(
        f"a caption is {excess} tokens over {tokens}: {caption[:60]!r}...; shorten it, or set "
        "long_captions = 'truncate'"
    )


def unique_captions(index: Index) -> list[str]:
    """Return the captions of a dataset in order, each once."""
    return sorted({index.row(number).caption for number in range(len(index))})


def null_text_states(
    recipe: Recipe, index: Index, encoder: CaptionEncoder | None
) -> TensorDict | None:
    """Return the null text's states, encoded or cached; None if the network has its own."""
    caption = find_family(recipe.family).null_caption
    if caption is None:
        return None
    if encoder is not None:
        return encoder.encode_captions([caption])[0].tensors
    store = open_text_store(recipe, text_encoder_name(recipe, index))
    return {name: states[0] for name, states in store.read(caption_key(caption)).items()}
