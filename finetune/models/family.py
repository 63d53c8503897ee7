"""The protocol of a model family: its parts, its grid, and its network's call.

A family is one stateless object. Training, caching, planning, sampling and release call it; none
of them imports a network. A new family is a file with one subclass of `Family` and a line in
`finetune/models/families.py`. Required members come first; the others have defaults.
"""

from __future__ import annotations

import dataclasses
import shutil
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from finetune.config import Flow, Recipe
from finetune.models.cost_model import CostModel
from finetune.models.grid import Grid
from finetune.objectives.base import Denoiser, Objective

TensorDict = Mapping[str, Tensor]
TINY_RANDOM = "tiny-random"  # a small random VAE or text encoder, for tests and demos
TINY_SEED = 0  # of its weights: not the run's, so that runs with other seeds share a cache


class TextSize(NamedTuple):
    """The text that a network reads: tokens, and the width of a token's state."""

    tokens: int
    width: int


class EncodedCaption(NamedTuple):
    """Text states of one caption by name, not padded, on the encoder's device."""

    tensors: TensorDict
    truncated_tokens: int  # tokens over the limit, cut off


class LatentCodec(Protocol):
    """A frozen VAE: frames to latents and back."""

    @property
    def digest(self) -> str:
        """Return a sha256 of configuration and weights, which names its latents in a cache."""
        ...

    def encode_window(self, pixels: Tensor) -> TensorDict:
        """Encode frames [T, 3, H, W] in [-1, 1] to named float32 tensors.

        "mean" and "std" [T', C, h, w] are required: a latent is mean + std * noise, normalised as
        the network takes it. Others reach the network as `ClipConditions.extras`.
        """
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents [T', C, h, w] to frames [T, 3, H, W] float32 in [-1, 1]."""
        ...

    def compile_network(self) -> object:
        """Compile for many calls."""
        ...

    def save(self, folder: Path) -> None:
        """Write the files that `Family.load_codec` reads."""
        ...


class CaptionEncoder(Protocol):
    """A frozen text encoder."""

    @property
    def size(self) -> TextSize:
        """Return its longest caption, and the width of its states."""
        ...

    @property
    def digest(self) -> str:
        """Return a sha256 of configuration, weights and tokenizer, which names its states."""
        ...

    def encode_captions(self, captions: Sequence[str]) -> list[EncodedCaption]:
        """Encode captions together."""
        ...

    def compile_network(self) -> object:
        """Compile for many calls."""
        ...

    def save(self, folder: Path) -> None:
        """Write the files that `Family.load_caption_encoder` reads."""
        ...


@dataclass(frozen=True, kw_only=True)
class ClipConditions:
    """Everything beside latent and time that a network is given for B clips of one size."""

    text: TensorDict  # [B, ...] each, from `Family.collate_text`
    null_text: TensorDict = field(default_factory=dict)  # [1, ...]; empty: the network has its own
    frames: int
    height: int  # pixels
    width: int
    fps: Sequence[float]  # of each clip
    extras: TensorDict = field(default_factory=dict)  # [B, ...] each, of `LatentCodec`

    @property
    def without_text(self) -> ClipConditions:
        """Return the same conditions with the null text in place of every caption."""
        size = len(self.fps)
        null = {name: t.expand(size, *t.shape[1:]) for name, t in self.null_text.items()}
        return dataclasses.replace(self, text=null)


@dataclass(frozen=True, kw_only=True)
class LatentRequest:
    """One latent that a pipeline samples."""

    conditions: ClipConditions  # of one clip
    noise: Tensor  # [1, C, T, h, w], the start
    steps: int
    guidance: float  # 0: the text is ignored; 1: no guidance
    image: Tensor | None = None  # first frame [1, 3, H, W] in [-1, 1]
    on_step: Callable[[], None] | None = None  # called after each step


@runtime_checkable
class Family(Protocol):
    """A model family; subclass it, and set or override what differs from the defaults."""

    # -- required ------------------------------------------------------------------------------

    name: str  # the recipe's `family`
    grid: Grid
    cost: CostModel
    shape_fields: Sequence[str]  # keys of `network_config` that decide the weights' shapes

    @abstractmethod
    def objective(self, settings: Flow) -> Objective:
        """Return how the family is trained and sampled."""
        ...

    @abstractmethod
    def new_network(self, recipe: Recipe) -> nn.Module:
        """Return the network that training starts from: random, or read from `recipe.init`."""
        ...

    @abstractmethod
    def load_network(
        self,
        source: Path | str,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> nn.Module:
        """Read a network from a folder, a file or a Hub id; raise WeightsError if none fits."""
        ...

    @abstractmethod
    def network_config(self, network: nn.Module) -> dict[str, Any]:
        """Return what a checkpoint's config.json holds, with which `load_network` reads it."""
        ...

    @abstractmethod
    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the repeated blocks, which engines shard and compile one by one."""
        ...

    @abstractmethod
    def load_codec(self, name: str, *, dtype: torch.dtype, device: torch.device) -> LatentCodec:
        """Load the VAE of a folder or Hub id, or a small random one ("tiny-random")."""
        ...

    @abstractmethod
    def load_caption_encoder(
        self,
        name: str,
        size: TextSize,
        captions: Callable[[], Sequence[str]],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> CaptionEncoder:
        """Load the text encoder of a folder or Hub id, or make a small random one ("tiny-random").

        captions: of the dataset, for the random one's tokenizer.
        """
        ...

    @abstractmethod
    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Return (C, T', h, w) of a clip; height and width in pixels."""
        ...

    @abstractmethod
    def text_size(self, network: nn.Module) -> TextSize:
        """Return the text that this network reads."""
        ...

    @abstractmethod
    def collate_text(
        self, captions: Sequence[TensorDict | None], size: TextSize, device: torch.device
    ) -> dict[str, Tensor]:
        """Pad and stack text states to tensors [B, ...]; None is a sample without text.

        Raise ConfigError for states of another width.
        """
        ...

    @abstractmethod
    def denoiser(
        self,
        network: nn.Module,
        conditions: ClipConditions,
        *,
        drop: Tensor | None = None,
        activation_checkpointing: int = 0,
    ) -> Denoiser:
        """Bind conditions to the network.

        drop: [B] bool, captions to replace by the null text. activation_checkpointing: number of
        blocks to recompute in the backward pass.
        """
        ...

    # -- optional ------------------------------------------------------------------------------

    licence: str | None = None  # of the pretrained weights, by the Hub's word for it
    native_fps: float | None = None  # of the clips that the weights were trained on
    image_fps: float = 1.0  # the frame rate that the network is given for an image
    frame_latents: bool = False  # a frame's latent depends on that frame alone
    null_caption: str | None = None  # its states are the null text; None: the network has its own
    mask_probabilities: Mapping[str, float] = {}  # kinds of frame masks in training
    start_images: Sequence[str] = ()  # fields of a request: "image", "last_image"
    needs_image: bool = False  # True: it samples only from a first frame
    lora_targets: Sequence[str] = ()  # names of the linear layers that an adapter changes
    adapter_folders: Mapping[str, str] = {"": ""}  # of its files, by the start of weights' names
    pipeline_class: str = ""  # of diffusers, which writes an adapter's files; none: there are none

    def extra_shapes(self, frames: int, height: int, width: int) -> Mapping[str, Sequence[int]]:
        """Return the shapes of the tensors beside "mean" and "std" that the codec gives."""
        return {}

    def check(self, recipe: Recipe) -> None:
        """Raise ConfigError if the recipe asks for what the family does not have."""

    def check_init(self, init: str) -> None:
        """Raise WeightsError if weights that are on this disk, or nowhere, are not this family's.

        It reads configurations alone, so that `finetune cache` need not end before the error.
        """
        return

    def use_kernels(self, network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        """Replace operations of the network by the fastest kernels for a device and precision."""

    def timestep_shift(self, latent_shape: Sequence[int]) -> float:
        """Return the shift of flow matching times for latents of a shape (C, T, h, w)."""
        return 1.0

    def time_range(self, step: int) -> tuple[float, float]:
        """Return the part of all times in [0, 1) that a training step draws from.

        Families whose experts divide the noise let them take turns by step.
        """
        return 0.0, 1.0

    def guided_denoiser(
        self, network: nn.Module, conditions: ClipConditions, scale: float
    ) -> Denoiser:
        """Return a denoiser with classifier-free guidance (Ho and Salimans, 2022)."""
        with_text = self.denoiser(network, conditions)
        without_text = self.denoiser(network, conditions.without_text)

        def denoise(x: Tensor, time: Tensor, frame_mask: Tensor | None, /) -> Tensor:
            null = without_text(x, time, frame_mask)
            return null + scale * (with_text(x, time, frame_mask) - null)

        return denoise

    def check_sampling(self, guidance: float) -> None:
        """Raise SamplingError if the family cannot sample, or not with this guidance."""
        return

    def sample_latent(
        self, network: nn.Module, codec: LatentCodec, objective: Objective, request: LatentRequest
    ) -> Tensor | None:
        """Sample a latent [1, C, T, h, w] by the pipeline that the network was published with.

        None, without one: the objective's solver samples.
        """
        return None

    def comfyui_key(self, name: str) -> str | None:
        """Return ComfyUI's key of an adapter's weight, or None if it reads no such adapter."""
        return None

    def write_weights(self, weights: Path, folder: Path) -> None:
        """Write a checkpoint's weights (its `model` or `ema` folder) as a release has them."""
        shutil.copytree(weights, folder, dirs_exist_ok=True)
