"""Generate a latent from text states and a request, for validation, command and demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from finetune.data.conditioning import conditioning
from finetune.data.windows import IMAGE_FPS
from finetune.models.stdit2.network import STDiT2
from finetune.models.stdit2.text_encoder import TextStates
from finetune.models.stdit2.vae import LATENT_CHANNELS, VAE
from finetune.objectives import (
    Denoiser,
    Diffusion,
    ancestral_edit_sample,
    ancestral_sample,
    classifier_free_guidance,
)
from finetune.sampling.request import SampleRequest
from finetune.tensors import to_device_async

StepCallback = Callable[[], None]


@torch.no_grad()
def generate_latent(
    network: STDiT2,
    text: TextStates,
    request: SampleRequest,
    device: torch.device,
    *,
    conditioning_frames: Mapping[int, Tensor] | None = None,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Generate the latent [T, 4, h, w] of a request; `text` is its encoded prompt.

    conditioning_frames: latents [4, h, w] by frame number, kept unchanged (frame masks). All noise
    is drawn on the CPU from the request's seed, so it is equal on every device; torch's global
    generators are not used.
    """
    noise = _noise_stream(request, device)
    x = next(noise)
    process = Diffusion.linear().respaced(request.steps).to(device)
    denoise = _with_callback(_guided_denoiser(network, text, request, device), on_step)
    if not conditioning_frames:
        return ancestral_sample(process, denoise, x, noise)[0].transpose(0, 1)
    edit = torch.ones(1, request.frames, device=device)
    for number, latent in conditioning_frames.items():
        x[0, :, number], edit[0, number] = latent.to(x), 0
    return ancestral_edit_sample(process, denoise, x, edit, noise)[0].transpose(0, 1)


def _noise_stream(request: SampleRequest, device: torch.device) -> Iterator[Tensor]:
    size = VAE.latent_size(request.height, request.width)
    generator = torch.Generator().manual_seed(request.seed)
    while True:
        noise = torch.randn(1, LATENT_CHANNELS, request.frames, *size, generator=generator)
        yield to_device_async(noise, device)


def _guided_denoiser(
    network: STDiT2, text: TextStates, request: SampleRequest, device: torch.device
) -> Denoiser:
    fps = IMAGE_FPS if request.frames == 1 else request.fps
    return classifier_free_guidance(
        network,
        text.states[:, None],
        network.y_embedder.y_embedding,
        text.mask,
        scale=request.guidance,
        **conditioning(request.frames, request.height, request.width, [fps], device),
    )


def _with_callback(denoise: Denoiser, on_step: StepCallback | None) -> Denoiser:
    """Call `on_step` after each call of the denoiser."""
    if on_step is None:
        return denoise

    def denoise_and_notify(x: Tensor, timestep: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        output = denoise(x, timestep, frame_mask)
        on_step()
        return output

    return denoise_and_notify


def decode_latent(vae: VAE, latent: Tensor) -> Tensor:
    """Decode a latent [T, 4, h, w] to frames [T, 3, H, W] uint8 on the CPU."""
    return ((vae.decode(latent) + 1) * 127.5).round().to(torch.uint8).cpu()
