"""Wan 2.1 text-to-video and Wan 2.2 TI2V-5B (Apache-2.0), by diffusers' classes.

Flow matching on times 1000 t; UMT5 states of 512 tokens, zeros after the text's end; a causal VAE
with 4 frames a latent. Facts and shifts: the makers' configurations, read on 2026-11-29.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from finetune.config import Flow, Recipe
from finetune.errors import ConfigError
from finetune.models.diffusers.block_checkpointing import recompute_blocks
from finetune.models.diffusers.networks import diffusers_class, load_transformer, plain_config
from finetune.models.diffusers.pipeline_folder import find_part, read_config
from finetune.models.diffusers.video_vae import VideoVAE
from finetune.models.diffusers.wan_cost import WanCost
from finetune.models.family import (
    TINY_RANDOM,
    TINY_SEED,
    ClipConditions,
    Family,
    Grid,
    TensorDict,
    TextSize,
)
from finetune.models.text_encoder import TextEncoder
from finetune.models.text_states import drop_text, pad_states
from finetune.objectives import FlowMatching
from finetune.objectives.base import Denoiser, Objective
from finetune.tensors import cast_module

TRANSFORMER, CODEC = "WanTransformer3DModel", "AutoencoderKLWan"
TEXT_TOKENS = 512
TINY_TEXT_DIM = 32
TIME_SCALE = 1000  # the network's times are 0 to 1000
COMFYUI_LAYERS = {  # names of the makers' own code, which ComfyUI keeps
    ".attn1.": ".self_attn.",
    ".attn2.": ".cross_attn.",
    ".to_q.": ".q.",
    ".to_k.": ".k.",
    ".to_v.": ".v.",
    ".to_out.0.": ".o.",
    ".ffn.net.0.proj.": ".ffn.0.",
    ".ffn.net.2.": ".ffn.2.",
}
LARGE_PIXELS = 832 * 480 * 3 // 2  # from here on times are shifted as for 720p


@dataclass(frozen=True, kw_only=True)
class WanShape:
    """Numbers in which the two generations differ."""

    channels: int
    spatial_stride: int
    fps: float
    shift_small: float  # up to about 480p
    shift_large: float
    token_times: bool  # a time for each token: given frames have time 0
    tiny_codec: Mapping[str, Any]  # of the small random VAE


class Wan(Family):
    """One generation of Wan."""

    licence = "apache-2.0"
    null_caption = ""
    shape_fields = ("num_layers", "num_attention_heads", "attention_head_dim", "text_dim")
    pipeline_class = "WanPipeline"
    lora_targets = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")

    def __init__(self, name: str, shape: WanShape) -> None:
        self.name, self.shape = name, shape
        self.native_fps = shape.fps
        self.start_images = ("image",) if shape.token_times else ()
        multiple = 2 * shape.spatial_stride  # the network takes patches of 2 x 2 latents
        self.grid = Grid(
            frame_step=4, frame_offset=1, max_frames=241, pixel_multiple=multiple, min_side=multiple
        )
        self.cost = WanCost(shape.spatial_stride)

    def check(self, recipe: Recipe) -> None:
        if recipe.init == "random":
            raise ConfigError(
                f"family {self.name!r} is fine-tuned, not trained from random weights: name a "
                f"pipeline's folder or Hub id as init, or {TINY_RANDOM!r} to try it out"
            )
        if recipe.text_tokens != TEXT_TOKENS:
            raise ConfigError(
                f"text_tokens = {recipe.text_tokens}: family {self.name!r} attends to all "
                f"{TEXT_TOKENS} tokens, those after the text's end included; set {TEXT_TOKENS}"
            )

    def objective(self, settings: Flow) -> Objective:
        return FlowMatching(settings, self.timestep_shift)

    def timestep_shift(self, latent_shape: Sequence[int]) -> float:
        pixels = latent_shape[2] * latent_shape[3] * self.shape.spatial_stride**2
        return self.shape.shift_large if pixels > LARGE_PIXELS else self.shape.shift_small

    def new_network(self, recipe: Recipe) -> nn.Module:
        return self.load_network(recipe.init)

    def tiny_network(self) -> nn.Module:
        """Return a network of two small blocks, the same on every machine."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(TINY_SEED)
            network: nn.Module = diffusers_class(TRANSFORMER)(
                num_attention_heads=2,
                attention_head_dim=12,
                in_channels=self.shape.channels,
                out_channels=self.shape.channels,
                text_dim=TINY_TEXT_DIM,
                freq_dim=32,
                ffn_dim=48,
                num_layers=2,
                rope_max_seq_len=64,
            )
        return network

    def load_network(
        self,
        source: Path | str,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> nn.Module:
        if source == TINY_RANDOM:
            return cast_module(self.tiny_network(), dtype).to(device)
        return load_transformer(source, TRANSFORMER, dtype, device)

    def network_config(self, network: nn.Module) -> dict[str, Any]:
        return plain_config(network)

    def use_kernels(self, network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        """Choose cuDNN's attention on a GPU.

        At 12 heads x 32,760 tokens x 128 on an H200 it reached 581 TFLOP/s forward and 529
        backward, FlashAttention-2 356 and 309 (2026-11-29).
        """
        if device.type == "cuda" and dtype != torch.float32:
            cast(Any, network).set_attention_backend("_native_cudnn")

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        return list(network.get_submodule("blocks").children())

    def load_codec(self, name: str, *, dtype: torch.dtype, device: torch.device) -> VideoVAE:
        kind = diffusers_class(CODEC)
        if name == TINY_RANDOM:
            return VideoVAE(self._tiny_codec(kind).to(device))
        folder = find_part(name, "vae")
        read_config(folder, CODEC)
        return VideoVAE(kind.from_pretrained(folder, torch_dtype=dtype).to(device))

    def _tiny_codec(self, kind: Callable[..., nn.Module]) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(TINY_SEED)
            return kind(
                z_dim=self.shape.channels,
                dim_mult=[1, 1, 1, 1],
                num_res_blocks=1,
                temperal_downsample=[False, True, True],
                **self.shape.tiny_codec,
            )

    def load_caption_encoder(
        self,
        name: str,
        size: TextSize,
        captions: Callable[[], Sequence[str]],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> TextEncoder:
        if name == TINY_RANDOM:
            texts = [*captions(), "a"]
            tiny = TextEncoder.tiny_random(
                texts, TINY_SEED, architecture="UMT5", clean=clean_prompt, **size._asdict()
            )
            return tiny.to(device)
        return TextEncoder.from_pretrained(
            find_part(name, "text_encoder"),
            architecture="UMT5",
            tokenizer=find_part(name, "tokenizer"),
            clean=clean_prompt,
            tokens=size.tokens,
            dtype=dtype,
            device=device,
        )

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        stride = self.shape.spatial_stride
        return self.shape.channels, 1 + (frames - 1) // 4, height // stride, width // stride

    def text_size(self, network: nn.Module) -> TextSize:
        config: Any = network.config
        return TextSize(TEXT_TOKENS, int(config.text_dim))

    def collate_text(
        self, captions: Sequence[TensorDict | None], size: TextSize, device: torch.device
    ) -> dict[str, Tensor]:
        states = [None if c is None else c["states"] for c in captions]
        return {"states": pad_states(states, size, device)[0]}

    def denoiser(
        self,
        network: nn.Module,
        conditions: ClipConditions,
        *,
        drop: Tensor | None = None,
        activation_checkpointing: int = 0,
    ) -> Denoiser:
        dtype = next(network.get_submodule("patch_embedding").parameters()).dtype
        states = drop_text(conditions.text, conditions.null_text, drop)["states"].to(dtype)
        recompute_blocks(network, activation_checkpointing)

        def denoise(x: Tensor, time: Tensor, frame_mask: Tensor | None, /) -> Tensor:
            velocity: Tensor = network(
                hidden_states=x.to(dtype),
                timestep=self._times(x, time, frame_mask),
                encoder_hidden_states=states,
                return_dict=False,
            )[0]
            return velocity.float()

        return denoise

    def comfyui_key(self, name: str) -> str | None:
        for ours, theirs in COMFYUI_LAYERS.items():
            name = name.replace(ours, theirs)
        return f"diffusion_model.{name}"

    def _times(self, x: Tensor, time: Tensor, frame_mask: Tensor | None) -> Tensor:
        """Return times [B] in 0..1000, or [B, tokens] with 0 for frames that are given."""
        if not self.shape.token_times:
            return TIME_SCALE * time
        by_frame = TIME_SCALE * time[:, None].expand(-1, x.shape[2])
        if frame_mask is not None:
            by_frame = torch.where(frame_mask, by_frame, 0)
        return by_frame.repeat_interleave((x.shape[3] // 2) * (x.shape[4] // 2), dim=1)


def clean_prompt(text: str) -> str:
    """Return a prompt as Wan's tokenizer was trained on it: no HTML escapes, single spaces."""
    return re.sub(r"\s+", " ", html.unescape(html.unescape(text))).strip()


WAN_2_1 = Wan(
    "wan2.1",
    WanShape(
        channels=16,
        spatial_stride=8,
        fps=16.0,
        shift_small=3.0,
        shift_large=5.0,
        token_times=False,
        tiny_codec={"base_dim": 4},
    ),
)
WAN_2_2_5B = Wan(
    "wan2.2-5b",
    WanShape(
        channels=48,
        spatial_stride=16,
        fps=24.0,
        shift_small=5.0,
        shift_large=5.0,
        token_times=True,
        tiny_codec={
            "base_dim": 4,
            "in_channels": 12,
            "out_channels": 12,
            "is_residual": True,
            "patch_size": 2,
            "scale_factor_spatial": 16,
            "latents_mean": [0.0] * 48,
            "latents_std": [1.0] * 48,
        },
    ),
)
