"""Sample a model: denoiser, VAE and text encoder together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, nn

from finetune.config import Recipe
from finetune.data.cache_layout import index_folder
from finetune.data.encoders import unique_captions
from finetune.data.index import Index
from finetune.errors import SamplingError, WeightsError
from finetune.models import Family, find_family
from finetune.models.adapters import load_network
from finetune.models.compile_blocks import compile_blocks
from finetune.models.family import CaptionEncoder, LatentCodec, TextSize
from finetune.models.weights_digest import weights_digest
from finetune.sampling.generate import (
    EncodedPrompt,
    LatentGenerator,
    StepCallback,
    decode_latent,
    encode_prompt,
    generate_latent,
)
from finetune.sampling.images import read_image, read_images
from finetune.sampling.request import SampleRequest
from finetune.sampling.sources import ModelSource, build_request, find_model
from finetune.tensors import DTYPES
from finetune.training.checkpoint_folders import verify_checkpoint


@dataclass
class TextToVideoPipeline:
    """Three networks on one device."""

    source: ModelSource
    network: nn.Module
    vae: LatentCodec
    text: CaptionEncoder
    device: torch.device
    precision: str

    @classmethod
    def from_pretrained(
        cls, name: str, *, revision: str | None = None, weights: str | None = None, **options: Any
    ) -> Self:
        """Load a release, a run, a checkpoint, or a denoiser whose two encoders are named.

        weights: "ema" or "raw", of a checkpoint. options: those of `load`.
        """
        return cls.load(find_model(name, revision, weights=weights), **options)

    @classmethod
    def load(
        cls,
        source: ModelSource,
        *,
        device: str = "auto",
        precision: str | None = None,
        vae: str | None = None,
        text_encoder: str | None = None,
        compile: bool = False,
    ) -> Self:
        """Load the networks of a model; compare a checkpoint's weights with its manifest first.

        precision: by default the model's own on a GPU, float32 on a CPU. compile: blocks and VAE,
        which takes a minute and pays off over many steps.
        """
        torch_device = resolve_device(device)
        source = dataclasses.replace(
            source, vae=vae or source.vae, text=text_encoder or source.text
        )
        chosen = precision or (source.precision if torch_device.type == "cuda" else "float32")
        if chosen not in DTYPES:
            raise SamplingError(f"precision {chosen!r}: choose one of {', '.join(DTYPES)}")
        if source.recipe:
            verify_checkpoint(source.weights.parent, source.weights.name)
        dtype, family = DTYPES[chosen], find_family(source.family)
        network = load_network(family, source.weights, dtype=dtype, device=torch_device)
        network.eval().requires_grad_(False)
        family.use_kernels(network, torch_device, dtype)
        encoders = _load_encoders(source, family, family.text_size(network), dtype, torch_device)
        pipeline = cls(source, network, *encoders, torch_device, chosen)
        if compile:
            compile_blocks(family.blocks(network))
            pipeline.vae.compile_network()
        return pipeline

    @cached_property
    def generator(self) -> LatentGenerator:
        """Return the network with its family and objective."""
        family = find_family(self.source.family)
        objective = family.objective(self.source.flow).to(self.device)
        return LatentGenerator(family, objective, self.network, self.vae, self.device)

    def request(self, **fields: Any) -> SampleRequest:
        """Build a request, with the model's defaults for fields that are missing or None."""
        return build_request(self.source, fields)

    @cached_property
    def digest(self) -> str:
        """Return sha256 over the denoiser's configuration and weights, in this precision."""
        return weights_digest(self.network, self.generator.family.network_config(self.network))

    def check(self, request: SampleRequest) -> EncodedPrompt:
        """Return the encoded prompt; raise SamplingError if the request cannot be sampled."""
        for file in filter(None, (request.image, request.last_image)):
            read_image(file, request.height, request.width)
        return encode_prompt(self.generator.family, self.text, request.prompt)

    def sample(self, request: SampleRequest, on_step: StepCallback | None = None) -> Tensor:
        """Return frames [T, 3, H, W] uint8 on the CPU; `on_step` is called after each step."""
        prompt = self.check(request)
        try:
            latent = generate_latent(
                self.generator,
                prompt,
                request,
                read_images(request, self.generator.family, self.device),
                on_step,
            )
            _check_finite(latent, request)
            return decode_latent(self.vae, latent)
        except torch.OutOfMemoryError as error:
            raise SamplingError(
                f"{request.frames} frames of {request.height}x{request.width} do not fit into this "
                "device's memory: request fewer frames or a smaller size"
            ) from error


def resolve_device(name: str) -> torch.device:
    """Return the torch device; 'auto' is the GPU if there is one."""
    if name not in ("auto", "cpu", "cuda"):
        raise SamplingError(f"device {name!r}: choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise SamplingError("device 'cuda', but torch sees no GPU here: choose cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _load_encoders(
    source: ModelSource, family: Family, size: TextSize, dtype: torch.dtype, device: torch.device
) -> tuple[LatentCodec, CaptionEncoder]:
    """Load VAE and text encoder; raise SamplingError if one is not named or does not fit."""
    missing = [n for n, v in (("--vae", source.vae), ("--text-encoder", source.text)) if not v]
    if missing:
        raise SamplingError(
            f"{source.name} is only a denoiser: name its encoders with {' and '.join(missing)} "
            f"(the published weights take {Recipe.vae} and {Recipe.text_encoder})"
        )
    assert source.vae
    assert source.text
    try:
        vae = family.load_codec(source.vae, dtype=dtype, device=device)
        text = family.load_caption_encoder(
            source.text,
            size,
            lambda: unique_captions(open_index(source)),
            dtype=dtype,
            device=device,
        )
    except WeightsError as error:
        raise SamplingError(f"{error}, or name others with --vae and --text-encoder") from error
    if text.size.width != size.width:
        raise SamplingError(
            f"text encoder {source.text} has states of width {text.size.width}, the network needs "
            f"{size.width}: name the encoder that it was trained with"
        )
    return vae, text


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
    return Index.open(folder, verify=True)


def _check_finite(latent: Tensor, request: SampleRequest) -> None:
    if not latent.isfinite().all():
        raise SamplingError(
            f"the sample of {request.prompt[:40]!r} is not a number: the weights diverged, or "
            f"guidance {request.guidance:g} is too strong (7 is usual)"
        )
