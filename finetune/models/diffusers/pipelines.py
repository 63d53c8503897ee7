"""Sample latents by diffusers' own pipelines, made of a run's network and VAE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from finetune.errors import SamplingError
from finetune.models.diffusers.networks import diffusers_class
from finetune.models.family import LatentRequest


def make_pipeline(class_name: str, scheduler: Any, vae: nn.Module, **parts: Any) -> Any:
    """Return a silent pipeline that is given text states, so it has no text encoder."""
    pipeline = diffusers_class(class_name)(
        tokenizer=None, text_encoder=None, vae=vae, scheduler=scheduler, **parts
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def call_pipeline(pipeline: Any, request: LatentRequest, **inputs: Any) -> Tensor:
    """Return the latent that a pipeline samples, in its own layout.

    inputs: beside size, steps and guidance, those that pipelines have each in its own way.
    """
    conditions = request.conditions
    latent: Tensor = pipeline(
        height=conditions.height,
        width=conditions.width,
        num_frames=conditions.frames,
        num_inference_steps=request.steps,
        guidance_scale=max(1.0, request.guidance),
        output_type="latent",
        callback_on_step_end=_step_callback(request),
        **inputs,
    ).frames
    return latent.float()


def text_inputs(request: LatentRequest, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return a pipeline's arguments of text: names are ours by theirs.

    Guidance 0 samples the null text alone.
    """
    conditions = request.conditions
    null = conditions.null_text
    text = conditions.text if request.guidance else null
    inputs = {theirs: text[ours] for theirs, ours in names.items()}
    return inputs | {f"negative_{theirs}": null[ours] for theirs, ours in names.items()}


def to_picture(image: Tensor) -> Any:
    """Return a frame [1, 3, H, W] in [-1, 1] as a PIL image."""
    from PIL import Image

    levels = ((image[0] + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())


def check_guidance(guidance: float) -> None:
    """Raise SamplingError for guidance that pipelines do not have."""
    if guidance < 0 or 0 < guidance < 1:
        raise SamplingError(
            f"guidance {guidance:g}: diffusers' pipelines take 0 (the text is ignored), 1 (no "
            "guidance) or more"
        )


def _step_callback(request: LatentRequest) -> Any:
    on_step = request.on_step
    if on_step is None:
        return None

    def callback(*_: object) -> dict[str, Any]:
        on_step()
        return {}

    return callback
