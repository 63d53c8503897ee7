"""Sample a model: denoiser, VAE and text encoder together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, cast

import torch
from torch import Tensor

from finetune.data.cache_layout import index_folder
from finetune.data.encoders import TINY_RANDOM, load_text_encoder, load_vae
from finetune.data.index import Index
from finetune.errors import SamplingError
from finetune.kernels import select_ops
from finetune.models.stdit2.network import STDiT2
from finetune.models.stdit2.text_encoder import TextEncoder, TextStates
from finetune.models.stdit2.vae import VAE
from finetune.models.weights_digest import weights_digest
from finetune.sampling.generate import StepCallback, decode_latent, generate_latent
from finetune.sampling.images import read_image
from finetune.sampling.request import SampleRequest
from finetune.sampling.sources import ModelSource, find_model
from finetune.tensors import DTYPES


@dataclass
class TextToVideoPipeline:
    """Three networks on one device; `request` applies the model's default settings."""

    source: ModelSource
    network: STDiT2
    vae: VAE
    text: TextEncoder
    device: torch.device
    precision: str

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        precision: str | None = None,
        vae: str | None = None,
        text_encoder: str | None = None,
        compile: bool = False,
    ) -> Self:
        """Load a release, a run, a checkpoint, or a denoiser with two named encoders.

        precision: default the model's own on a GPU, float32 on a CPU. compile: the blocks and the
        VAE, which takes a minute and pays off over many steps.
        """
        torch_device = resolve_device(device)
        source = find_model(name, revision)
        source = dataclasses.replace(
            source, vae=vae or source.vae, text=text_encoder or source.text
        )
        chosen = precision or (source.precision if torch_device.type == "cuda" else "float32")
        if chosen not in DTYPES:
            raise SamplingError(f"precision {chosen!r}: choose one of {', '.join(DTYPES)}")
        network = STDiT2.from_pretrained(source.weights, dtype=DTYPES[chosen], device=torch_device)
        network.eval().requires_grad_(False).set_ops(select_ops(torch_device, DTYPES[chosen]))
        encoders = _load_encoders(source, torch_device, chosen, network.config.model_max_length)
        pipeline = cls(source, network, *encoders, torch_device, chosen)
        _check_text_width(pipeline)
        if compile:
            network.compile_blocks()
            pipeline.vae.compile_network()
        return pipeline

    def request(self, **fields: Any) -> SampleRequest:
        """Build a request, with the model's defaults for fields that are missing or None."""
        given = {name: value for name, value in fields.items() if value is not None}
        return SampleRequest.from_dict({**self.source.defaults, **given})

    @cached_property
    def digest(self) -> str:
        """Return sha256 over the denoiser's configuration and weights, in this precision."""
        return weights_digest(self.network, dataclasses.asdict(self.network.config))

    def check(self, request: SampleRequest) -> TextStates:
        """Return the encoded prompt; raise SamplingError if the request cannot be sampled."""
        for file in filter(None, (request.image, request.last_image)):
            read_image(file, request.height, request.width)
        return encode_prompt(self.text, request.prompt)

    def sample(self, request: SampleRequest, on_step: StepCallback | None = None) -> Tensor:
        """Sample frames [T, 3, H, W] uint8 on the CPU; call `on_step` after each step."""
        text = self.check(request)
        try:
            latent = generate_latent(
                self.network,
                text,
                request,
                self.device,
                conditioning_frames=self._conditioning_frames(request),
                on_step=on_step,
            )
            _check_finite(latent, request)
            return decode_latent(self.vae, latent)
        except torch.OutOfMemoryError as error:
            raise SamplingError(
                f"{request.frames} frames of {request.height}x{request.width} do not fit into this "
                "device's memory: request fewer frames or a smaller size"
            ) from error

    def _conditioning_frames(self, request: SampleRequest) -> dict[int, Tensor]:
        """Encode a request's first and last image as latents, by frame number."""
        files = {0: request.image, request.frames - 1: request.last_image}
        return {
            number: self.vae.encode_distribution(
                read_image(file, request.height, request.width)
            ).mean[0]
            for number, file in files.items()
            if file is not None
        }


def encode_prompt(encoder: TextEncoder, prompt: str) -> TextStates:
    """Encode a prompt; raise SamplingError if it would be truncated."""
    text = encoder.encode([prompt])
    if text.truncated_tokens[0]:
        raise SamplingError(
            f"prompt {prompt[:40]!r}... is {encoder.tokens + text.truncated_tokens[0]} tokens "
            f"long, the limit is {encoder.tokens}: shorten it"
        )
    return text


def resolve_device(name: str) -> torch.device:
    """Return the torch device; 'auto' is the GPU if there is one."""
    if name not in ("auto", "cpu", "cuda"):
        raise SamplingError(f"device {name!r}: choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise SamplingError("device 'cuda', but torch sees no GPU here: choose cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _load_encoders(
    source: ModelSource, device: torch.device, precision: str, tokens: int
) -> tuple[VAE, TextEncoder]:
    missing = [n for n, v in (("--vae", source.vae), ("--text-encoder", source.text)) if not v]
    if missing:
        raise SamplingError(
            f"{source.name} is only a denoiser: name its encoders with {' and '.join(missing)} "
            "(the published weights take stabilityai/sd-vae-ft-ema and DeepFloyd/t5-v1_1-xxl)"
        )
    assert source.vae
    assert source.text
    if source.recipe and TINY_RANDOM in (source.vae, source.text):
        recipe = dataclasses.replace(source.recipe, precision=cast(Any, precision))
        return load_vae(recipe, device), load_text_encoder(recipe, open_index(source), device)
    dtype = DTYPES[precision]
    with _encoder_load_errors(source):
        vae = VAE.from_pretrained(source.vae, dtype=dtype, device=device)
        return vae, TextEncoder.from_pretrained(
            source.text, dtype=dtype, device=device, tokens=tokens
        )


def open_index(source: ModelSource) -> Index:
    """Open the dataset's index, whose captions the tiny tokenizer was trained on."""
    assert source.recipe
    folder = index_folder(source.recipe)
    if not (folder / "index.json").is_file():
        raise SamplingError(
            f"{source.name} was trained with the tiny text encoder, whose captions are indexed in "
            f"{folder}, which does not exist: run this in the folder of the training, or sample "
            "its release"
        )
    return Index.open(folder)


@contextmanager
def _encoder_load_errors(source: ModelSource) -> Iterator[None]:
    """Raise SamplingError, which names the encoders, for errors of their libraries."""
    try:
        yield
    except (OSError, ValueError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise SamplingError(
            f"the VAE {source.vae} or text encoder {source.text} cannot be loaded ({first}): "
            "name others with --vae and --text-encoder"
        ) from error


def _check_text_width(pipeline: TextToVideoPipeline) -> None:
    width, expected = pipeline.text.width, pipeline.network.config.caption_channels
    if width != expected:
        raise SamplingError(
            f"text encoder {pipeline.source.text} has states of width {width}, the network needs "
            f"{expected}: name the encoder that it was trained with"
        )


def _check_finite(latent: Tensor, request: SampleRequest) -> None:
    if not latent.isfinite().all():
        raise SamplingError(
            f"the sample of {request.prompt[:40]!r} is not a number: the weights diverged, or "
            f"guidance {request.guidance:g} is too strong (7 is usual)"
        )
