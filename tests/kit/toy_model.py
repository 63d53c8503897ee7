"""A model folder of toy networks that sample in milliseconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from finetune.models.stdit2.vae import VAE
from finetune.models.text_encoder import TextEncoder
from finetune.sampling.bundle import add_encoders
from tests.kit.networks import TINY, tiny_model
from tests.kit.toy_clips import captions

TOKENS = 16
DEFAULTS = {"frames": 4, "height": 32, "width": 48, "fps": 6.0, "steps": 3, "guidance": 4.0}
PROMPT = "a castle number 0 turns slowly"


def write_model(folder: Path) -> Path:
    """Write a random but fixed denoiser, VAE and text encoder, and default sampling settings."""
    config = replace(TINY, model_max_length=TOKENS)
    tiny_model(config=config).save_pretrained(folder)
    text = TextEncoder.tiny_random(captions(6), 0, width=config.caption_channels, tokens=TOKENS)
    vae = VAE.tiny_random(0)
    add_encoders(folder, vae=vae, text=text, precision="float32", defaults=DEFAULTS)
    return folder
