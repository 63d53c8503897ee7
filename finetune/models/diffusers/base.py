"""The parts that families of diffusers share: reading a pipeline's folders, and adapters' keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from finetune.config import Flow, Recipe
from finetune.errors import ConfigError, WeightsError
from finetune.models.diffusers.attention import compute_capability, use_fast_attention
from finetune.models.diffusers.networks import (
    diffusers_class,
    load_transformer,
    plain_config,
)
from finetune.models.diffusers.pipeline_folder import find_part, read_config, read_index
from finetune.models.diffusers.pipelines import check_guidance
from finetune.models.diffusers.video_vae import VideoVAE
from finetune.models.family import TINY_RANDOM, TINY_SEED, Family, TextSize
from finetune.models.hub import is_hub_id
from finetune.models.library_errors import library_errors
from finetune.models.text_encoder import TextEncoder
from finetune.models.weight_files import load_whole
from finetune.objectives import FlowMatching
from finetune.tensors import cast_module

TINY_TEXT_DIM = 32
CAST_INPUTS = ("hidden_states", "encoder_hidden_states", "encoder_hidden_states_image")
FIRST_FRAME_GIVEN = {"none": 0.8, "frame_head": 0.2}  # our choice: both uses are trained
TIME_SCALE = 1000  # the networks' times are 0 to 1000


class DiffusersFamily(Family):
    """A family of one transformer, one causal video VAE and one T5 or UMT5 encoder."""

    transformer_class: str
    codec_class: str
    codec_width_key: str  # of the VAE's configuration: channels of a latent
    input_layer: str  # of the transformer: takes latents
    blocks_name: str  # of the transformer's list of blocks
    architecture: Literal["T5", "UMT5"]
    text_tokens: int
    text_width_key: str  # of the transformer's configuration
    part = "transformer"  # folder of the pipeline that is trained
    attend_to_padding = False  # the text encoder gets no mask of the tokens after the text's end
    frame_stride: int  # frames of a latent but the first
    spatial_stride: int
    channels: int
    tiny_network: Mapping[str, Any]  # settings of the small random parts
    tiny_codec: Mapping[str, Any]
    null_caption = ""
    samples_alone = True  # False: an expert for a part of the noise

    def clean(self, text: str) -> str:
        """Return a prompt as the text encoder was trained on it."""
        return text

    def check(self, recipe: Recipe) -> None:
        if recipe.init == "random":
            raise ConfigError(
                f"family {self.name!r} is fine-tuned, not trained from random weights: name a "
                f"pipeline's folder or Hub id as init, or {TINY_RANDOM!r} to try it out"
            )
        if recipe.text_tokens != self.text_tokens:
            raise ConfigError(
                f"text_tokens = {recipe.text_tokens}: family {self.name!r} was trained with "
                f"{self.text_tokens}; set that"
            )

        sweep = recipe.validation.sweep
        for guidance in (recipe.validation.guidance, *sweep) if recipe.validation.prompts else ():
            self.check_sampling(guidance)

    def check_sampling(self, guidance: float) -> None:
        check_guidance(guidance)

    def check_init(self, init: str) -> None:
        if init != TINY_RANDOM and not is_hub_id(init):
            self._find_network(init)

    def objective(self, settings: Flow) -> FlowMatching:
        return FlowMatching(settings, self.timestep_shift)

    def new_network(self, recipe: Recipe) -> nn.Module:
        return self.load_network(recipe.init)

    def load_network(
        self,
        source: Path | str,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> nn.Module:
        if source == TINY_RANDOM:
            network = cast_module(self._tiny(self.transformer_class, self.tiny_network), dtype)
        else:
            network = load_transformer(
                self._find_network(source), self.transformer_class, dtype, device
            )
        return self.cast_inputs(network).to(device)

    def cast_inputs(self, network: nn.Module) -> nn.Module:
        """Let a network cast its inputs to its weights' precision."""
        network.register_forward_pre_hook(self._cast_inputs, with_kwargs=True)
        return network

    def _cast_inputs(
        self, network: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Cast latents and states to the weights' precision, which FSDP2 decides at each call."""
        dtype = next(network.get_submodule(self.input_layer).parameters()).dtype
        cast_ = {n: inputs[n].to(dtype) for n in CAST_INPUTS if inputs.get(n) is not None}
        return args, {**inputs, **cast_}

    def _find_network(self, source: Path | str) -> Path:
        """Return the folder of this family's network; raise WeightsError for another's."""
        self._check_index(source)
        folder, kind = find_part(source, self.part), self.transformer_class
        if "adapter" in read_config(folder, kind):
            raise WeightsError(
                f"{folder} is an adapter, not a network: name its base as init, or continue its "
                "run with --resume"
            )
        self._check_channels(folder, kind, {"in_channels": self.input_channels})
        return folder

    @property
    def input_channels(self) -> int:
        """Return the channels that the network reads: a latent's, and those of its conditions."""
        return self.channels

    def reads_pipeline(self, index: Mapping[str, Any]) -> bool:
        """Tell from a pipeline's model_index.json if its weights are this family's."""
        return index.get("_class_name") == self.pipeline_class

    def text_width(self, source: str) -> int:
        """Return the width of the text states that the network at `source` reads."""
        if source == TINY_RANDOM:
            return TINY_TEXT_DIM
        self._check_index(source)
        folder = find_part(source, self.part)
        with library_errors(folder):
            return int(read_config(folder, self.transformer_class)[self.text_width_key])

    def _check_index(self, source: Path | str) -> None:
        """Raise WeightsError for a pipeline of another family; its shapes may be the same."""
        index = read_index(source)
        if index is None or self.reads_pipeline(index):
            return
        owner = family_of_index(index)
        remedy = f"set family={owner.name}, or name" if owner else "name"
        raise WeightsError(
            f"{source} is another family's {index.get('_class_name')}, not {self.name!r}: {remedy} "
            "a pipeline of this one as init"
        )

    def _check_channels(self, folder: Path, class_name: str, wanted: Mapping[str, int]) -> None:
        """Raise WeightsError for a part of the family's class and another family's channels."""
        config = read_config(folder, class_name)
        for name, channels in wanted.items():
            if config.get(name, channels) != channels:
                raise WeightsError(
                    f"{folder} has {name} {config[name]}, family {self.name!r} has {channels}: "
                    "name weights of this family, or set the family that they are of"
                )

    def network_config(self, network: nn.Module) -> dict[str, Any]:
        return plain_config(network)

    def use_kernels(self, network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        use_fast_attention(network, compute_capability(device, dtype))

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        return list(network.get_submodule(self.blocks_name).children())

    def load_codec(self, name: str, *, dtype: torch.dtype, device: torch.device) -> VideoVAE:
        if name == TINY_RANDOM:
            return VideoVAE(self._tiny(self.codec_class, self.tiny_codec).to(device))
        folder = find_part(name, "vae")
        self._check_channels(folder, self.codec_class, {self.codec_width_key: self.channels})
        kind = diffusers_class(self.codec_class)
        return VideoVAE(load_whole(kind, folder, torch_dtype=dtype).to(device))

    def _tiny(self, class_name: str, settings: Mapping[str, Any]) -> nn.Module:
        """Return a small network with random weights, the same on every machine."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(TINY_SEED)
            network: nn.Module = diffusers_class(class_name)(**settings)
        return network

    def load_caption_encoder(
        self,
        name: str,
        size: TextSize,
        captions: Callable[[], Sequence[str]],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> TextEncoder:
        options: dict[str, Any] = {
            "architecture": self.architecture,
            "clean": self.clean,
            "attend_to_padding": self.attend_to_padding,
            "tokens": size.tokens,
        }
        if name == TINY_RANDOM:
            texts = [*captions(), "a"]
            return TextEncoder.tiny_random(texts, TINY_SEED, width=size.width, **options).to(device)
        folder = find_part(name, "text_encoder")
        return TextEncoder.from_pretrained(
            folder,
            tokenizer=find_part(name, "tokenizer"),
            dtype=dtype,
            device=device,
            **options,
        )

    def text_size(self, network: nn.Module) -> TextSize:
        config: Any = network.config
        return TextSize(self.text_tokens, int(config[self.text_width_key]))

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        stride = self.spatial_stride
        latents = 1 + (frames - 1) // self.frame_stride
        return self.channels, latents, height // stride, width // stride


def family_of_index(index: Mapping[str, Any]) -> DiffusersFamily | None:
    """Return the family that a pipeline's model_index.json is of; None for no family here."""
    from finetune.models.diffusers import DIFFUSERS_FAMILIES  # instances of subclasses of the above

    return next((f for f in DIFFUSERS_FAMILIES if f.reads_pipeline(index)), None)


def token_times(
    time: Tensor, frame_mask: Tensor | None, frames: int, tokens_per_frame: int
) -> Tensor:
    """Return times [B, tokens] in 0..1000 of times [B] in [0, 1): 0 for frames that are given."""
    by_frame = TIME_SCALE * time[:, None].expand(-1, frames)
    if frame_mask is not None:
        by_frame = torch.where(frame_mask, by_frame, 0)
    return by_frame.repeat_interleave(tokens_per_frame, dim=1)
