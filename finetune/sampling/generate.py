"""Sample latents from prompts: shared by validation, `finetune sample` and the demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from finetune.errors import SamplingError
from finetune.models import Family
from finetune.models.family import CaptionEncoder, ClipConditions, LatentCodec, LatentRequest
from finetune.objectives import Denoiser, Objective
from finetune.sampling.request import SampleRequest
from finetune.tensors import to_device_async

StepCallback = Callable[[], None]


@dataclass(frozen=True)
class EncodedPrompt:
    """The text states of a prompt and of the null text, as a batch of one on the device."""

    text: dict[str, Tensor]
    null_text: dict[str, Tensor]  # empty if the network has its own


@dataclass(frozen=True)
class LatentGenerator:
    """A network with its VAE, and its family's way to sample it."""

    family: Family
    objective: Objective
    network: nn.Module
    codec: LatentCodec
    device: torch.device


@torch.no_grad()
def generate_latent(
    generator: LatentGenerator,
    prompt: EncodedPrompt,
    request: SampleRequest,
    images: Mapping[int, Tensor] | None = None,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Return the latent [T', C, h, w] of a request.

    images: frames [1, 3, H, W] in [-1, 1] by latent frame number, kept as they are. on_step: called
    after each step. A family's own pipeline samples, else the objective's solver. All noise is
    drawn on the CPU from the request's seed, so it is the same on every device; torch's global
    generators are not used.
    """
    family = generator.family
    conditions = ClipConditions(
        text=prompt.text,
        null_text=prompt.null_text,
        frames=request.frames,
        height=request.height,
        width=request.width,
        fps=(family.image_fps if request.frames == 1 else request.fps,),
    )
    shape = family.latent_shape(request.frames, request.height, request.width)
    noises, images = _noise_stream(shape, request.seed, generator.device), images or {}
    wanted = LatentRequest(
        conditions=conditions,
        noise=next(noises),
        steps=request.steps,
        guidance=request.guidance,
        image=images.get(0),
        on_step=on_step,
    )
    latent = family.sample_latent(generator.network, generator.codec, generator.objective, wanted)
    if latent is None:
        latent = _solve(generator, wanted, noises, images)
    return latent[0].transpose(0, 1)


def _solve(
    generator: LatentGenerator,
    request: LatentRequest,
    noises: Iterator[Tensor],
    images: Mapping[int, Tensor],
) -> Tensor:
    """Sample by the objective's solver; frames that images give are their latents."""
    denoise = generator.family.guided_denoiser(
        generator.network, request.conditions, request.guidance
    )
    known = {n: generator.codec.encode_window(x)["mean"][0] for n, x in images.items()}
    return generator.objective.sample(
        _with_callback(denoise, request.on_step),
        chain((request.noise,), noises),
        request.steps,
        known,
    )


def encode_prompt(family: Family, encoder: CaptionEncoder, prompt: str) -> EncodedPrompt:
    """Encode a prompt; raise SamplingError for one that is longer than the network reads."""
    captions = [prompt] if family.null_caption is None else [prompt, family.null_caption]
    encoded, *null = encoder.encode_captions(captions)
    if encoded.truncated_tokens:
        tokens = encoder.size.tokens
        raise SamplingError(
            f"prompt {prompt[:40]!r}... is {tokens + encoded.truncated_tokens} tokens long, the "
            f"limit is {tokens}: shorten it"
        )
    device = next(iter(encoded.tensors.values())).device
    batches = [family.collate_text([e.tensors], encoder.size, device) for e in (encoded, *null)]
    return EncodedPrompt(batches[0], batches[1] if null else {})


def decode_latent(vae: LatentCodec, latent: Tensor) -> Tensor:
    """Decode a latent [T', C, h, w] to frames [T, 3, H, W] uint8 on the CPU."""
    return ((vae.decode(latent) + 1) * 127.5).round().to(torch.uint8).cpu()


def _noise_stream(shape: Sequence[int], seed: int, device: torch.device) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield to_device_async(torch.randn(1, *shape, generator=generator), device)


def _with_callback(denoise: Denoiser, on_step: StepCallback | None) -> Denoiser:
    """Return a denoiser that calls `on_step` after each step."""
    if on_step is None:
        return denoise

    def counted(x: Tensor, time: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        output = denoise(x, time, frame_mask)
        on_step()
        return output

    return counted
