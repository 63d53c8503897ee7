"""Folders of diffusers' pipelines as they lie on the Hub, with tiny random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from finetune.config import Flow
from finetune.models.diffusers import WAN_2_2_HIGH, WAN_2_2_LOW
from finetune.models.diffusers.base import TINY_TEXT_DIM, DiffusersFamily
from finetune.models.family import TINY_RANDOM, TextSize
from finetune.models.text_encoder import TextEncoder
from finetune.sampling.generate import LatentGenerator, encode_prompt, generate_latent
from finetune.sampling.request import SampleRequest
from tests.kit.toy_clips import captions

CPU = torch.device("cpu")


def sample(
    family: DiffusersFamily,
    network: nn.Module,
    encoder: TextEncoder,
    request: SampleRequest,
    images: dict[int, Tensor] | None = None,
) -> Tensor:
    """Sample a latent by our commands' functions, shaped as a pipeline has it: [1, C, T, h, w]."""
    codec = family.load_codec(TINY_RANDOM, dtype=torch.float32, device=CPU)
    generator = LatentGenerator(family, family.objective(Flow()), network, codec, CPU)
    prompt = encode_prompt(family, encoder, request.prompt)
    return generate_latent(generator, prompt, request, images).transpose(0, 1)[None]


def load_lora(family: DiffusersFamily, file: Path, *, merge: bool = False) -> nn.Module:
    """Return a family's tiny network with an adapter that `load_lora_weights` read."""
    import diffusers

    names = ("tokenizer", "text_encoder", "vae", "scheduler")
    pipeline: Any = getattr(diffusers, family.pipeline_class)(
        transformer=family.load_network(TINY_RANDOM), **dict.fromkeys(names)
    )
    pipeline.load_lora_weights(file.parent, weight_name=file.name)
    if merge:
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()
    network: nn.Module = pipeline.transformer
    return network.eval()


def write_pipeline(folder: Path, family: DiffusersFamily, **options: Any) -> Path:
    """Write a pipeline by its own `save_pretrained`; options are those of its class."""
    import diffusers

    text = family.load_caption_encoder(
        TINY_RANDOM,
        TextSize(family.text_tokens, TINY_TEXT_DIM),
        lambda: captions(6),
        dtype=torch.float32,
        device=CPU,
    )
    vae: Any = family.load_codec(TINY_RANDOM, dtype=torch.float32, device=CPU)
    pipeline = getattr(diffusers, family.pipeline_class)(
        tokenizer=text.tokenizer,
        text_encoder=text.network,
        vae=vae.network,
        transformer=family.load_network(TINY_RANDOM),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        **options,
    )
    pipeline.save_pretrained(folder)
    return folder


def write_a14b(folder: Path) -> Path:
    """Write the pipeline of two experts."""
    second = WAN_2_2_LOW.load_network(TINY_RANDOM)
    return write_pipeline(folder, WAN_2_2_HIGH, transformer_2=second, boundary_ratio=0.875)
