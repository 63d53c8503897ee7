"""Wan 2.1 text-to-video and Wan 2.2 TI2V-5B (Apache-2.0).

Flow matching on times 1000 t; UMT5 states of 512 tokens, zeros after the text's end; a causal VAE
with 4 frames a latent. Facts and shifts: the makers' configurations, read on 2026-11-29.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from finetune.config import Recipe
from finetune.errors import ConfigError, SamplingError
from finetune.kernels.flash_attention import flash_available
from finetune.models.diffusers.attention import compute_capability
from finetune.models.diffusers.base import (
    FIRST_FRAME_GIVEN,
    TIME_SCALE,
    TINY_TEXT_DIM,
    DiffusersFamily,
    token_times,
)
from finetune.models.diffusers.block_checkpointing import recompute_blocks
from finetune.models.diffusers.networks import diffusers_class
from finetune.models.diffusers.pipelines import (
    call_pipeline,
    make_pipeline,
    text_inputs,
    to_picture,
)
from finetune.models.diffusers.video_vae import VideoVAE
from finetune.models.diffusers.wan_cost import WanCost
from finetune.models.family import ClipConditions, LatentCodec, LatentRequest, TensorDict, TextSize
from finetune.models.grid import Grid
from finetune.models.text_states import drop_text, pad_states
from finetune.objectives import FlowMatching
from finetune.objectives.base import Denoiser, Objective

COMFYUI_LAYERS = {  # names of the makers' own code, which ComfyUI keeps
    ".attn1.": ".self_attn.",
    ".attn2.": ".cross_attn.",
    ".to_q.": ".q.",
    ".to_k.": ".k.",
    ".to_v.": ".v.",
    ".to_out.0.": ".o.",
    ".add_k_proj.": ".k_img.",
    ".add_v_proj.": ".v_img.",
    ".ffn.net.0.proj.": ".ffn.0.",
    ".ffn.net.2.": ".ffn.2.",
}
LARGE_PIXELS = 832 * 480 * 3 // 2  # from here on times are shifted as for 720p
IMAGE_PIPELINE = "WanImageToVideoPipeline"


@dataclass(frozen=True, kw_only=True)
class WanVersion:
    """Numbers in which the models differ; the defaults are Wan 2.1's."""

    name: str
    channels: int = 16
    spatial_stride: int = 8
    fps: float = 16.0
    shift_small: float = 3.0  # up to about 480p
    shift_large: float = 5.0
    token_times: bool = False  # a time for each token: given frames have time 0
    part: str = "transformer"
    times: tuple[float, float] = (0.0, 1.0)  # that this network denoises
    tiny_codec: Mapping[str, Any] = field(default_factory=dict)  # of the small random VAE


class Wan(DiffusersFamily):
    """One network of Wan."""

    transformer_class = "WanTransformer3DModel"
    codec_class = "AutoencoderKLWan"
    codec_width_key = "z_dim"
    pipeline_class = "WanPipeline"
    input_layer = "patch_embedding"
    blocks_name = "blocks"
    text_width_key = "text_dim"
    architecture = "UMT5"
    text_tokens = 512
    frame_stride = 4
    licence = "apache-2.0"
    shape_fields = ("num_layers", "num_attention_heads", "attention_head_dim", "text_dim")
    lora_targets = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")

    def __init__(self, version: WanVersion) -> None:
        self.version, self.name = version, version.name
        self.channels, self.spatial_stride = version.channels, version.spatial_stride
        self.native_fps, self.part = version.fps, version.part
        self.samples_alone = version.times == (0.0, 1.0)
        if version.token_times:
            self.start_images, self.mask_probabilities = ("image",), FIRST_FRAME_GIVEN
        multiple = 2 * version.spatial_stride  # the network takes patches of 2 x 2 latents
        self.grid = Grid(
            frame_step=4, frame_offset=1, max_frames=241, pixel_multiple=multiple, min_side=multiple
        )
        self.cost = WanCost(side=2 * version.spatial_stride, channels=version.channels)
        self.tiny_network = {
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "in_channels": version.channels,
            "out_channels": version.channels,
            "text_dim": TINY_TEXT_DIM,
            "freq_dim": 32,
            "ffn_dim": 48,
            "num_layers": 2,
            "rope_max_seq_len": 64,
        }
        self.tiny_codec = {
            "base_dim": 4,
            "z_dim": version.channels,
            "dim_mult": [1, 1, 1, 1],
            "num_res_blocks": 1,
            "temperal_downsample": [False, True, True],
            **version.tiny_codec,
        }

    def clean(self, text: str) -> str:
        """Return a prompt without HTML escapes and with single spaces."""
        return re.sub(r"\s+", " ", html.unescape(html.unescape(text))).strip()

    def use_kernels(self, network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        from finetune.models.diffusers.wan_attention import use_joined_attention

        shape: Any = network.config
        capability = compute_capability(device, dtype)
        flash = flash_available(capability, shape["attention_head_dim"])
        use_joined_attention(network, flash=flash)
        super().use_kernels(network, device, dtype)

    def check(self, recipe: Recipe) -> None:
        if not self.samples_alone and recipe.validation.prompts:
            raise ConfigError(f"{self._one_expert}: set validation.prompts = []")
        super().check(recipe)

    @property
    def _one_expert(self) -> str:
        return (
            f"family {self.name!r} is one expert of two, which cannot sample alone: load both "
            "adapters in diffusers"
        )

    def check_sampling(self, guidance: float) -> None:
        if not self.samples_alone:
            raise SamplingError(self._one_expert)
        super().check_sampling(guidance)

    def reads_pipeline(self, index: Mapping[str, Any]) -> bool:
        return (
            super().reads_pipeline(index)
            and bool(index.get("expand_timesteps")) == self.version.token_times
            and bool(index.get("boundary_ratio")) != self.samples_alone
        )

    def time_range(self, step: int) -> tuple[float, float]:
        return self.version.times

    def timestep_shift(self, latent_shape: Sequence[int]) -> float:
        pixels = latent_shape[2] * latent_shape[3] * self.spatial_stride**2
        version = self.version
        return version.shift_large if pixels > LARGE_PIXELS else version.shift_small

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
        states = drop_text(conditions.text, conditions.null_text, drop)["states"]
        self.recompute(network, activation_checkpointing)

        def denoise(x: Tensor, time: Tensor, frame_mask: Tensor | None, /) -> Tensor:
            velocity: Tensor = network(
                **self.image_inputs(x, conditions),
                timestep=self._times(x, time, frame_mask),
                encoder_hidden_states=states,
                return_dict=False,
            )[0]
            return velocity.float()

        return denoise

    def recompute(self, network: nn.Module, count: int) -> None:
        """Set how many blocks the backward pass recomputes."""
        recompute_blocks(network, self.blocks(network), count)

    def image_inputs(self, x: Tensor, conditions: ClipConditions) -> dict[str, Tensor]:
        """Return the network's inputs of noisy latents, and of images beside them."""
        return {"hidden_states": x}

    def _times(self, x: Tensor, time: Tensor, frame_mask: Tensor | None) -> Tensor:
        if not self.version.token_times:
            return TIME_SCALE * time
        return token_times(time, frame_mask, x.shape[2], (x.shape[3] // 2) * (x.shape[4] // 2))

    def scheduler(self, shift: float) -> Any:
        """Return the published scheduler at a shift."""
        return diffusers_class("UniPCMultistepScheduler")(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
        )

    def sample_latent(
        self, network: nn.Module, codec: LatentCodec, objective: Objective, request: LatentRequest
    ) -> Tensor:
        """Sample by `WanPipeline`, or by `WanImageToVideoPipeline` if the first frame is given."""
        assert isinstance(objective, FlowMatching)
        assert isinstance(codec, VideoVAE)
        pipeline = make_pipeline(
            self.pipeline_class if request.image is None else IMAGE_PIPELINE,
            self.scheduler(objective.shift(request.noise.shape[1:])),
            codec.network,
            transformer=network,
            expand_timesteps=self.version.token_times,
            **codec.pipeline_parts,
        )
        text = text_inputs(request, {"prompt_embeds": "states"})
        image = {"image": to_picture(request.image)} if request.image is not None else {}
        return call_pipeline(pipeline, request, latents=request.noise, **text, **image)

    def comfyui_key(self, name: str) -> str | None:
        for ours, theirs in COMFYUI_LAYERS.items():
            name = name.replace(ours, theirs)
        return f"diffusion_model.{name}"


WAN_2_1 = Wan(WanVersion(name="wan2.1"))
WAN_2_2_5B = Wan(
    WanVersion(
        name="wan2.2-5b",
        channels=48,
        spatial_stride=16,
        fps=24.0,
        shift_small=5.0,
        token_times=True,
        tiny_codec={
            "in_channels": 12,
            "out_channels": 12,
            "is_residual": True,
            "patch_size": 2,
            "scale_factor_spatial": 16,
            "latents_mean": [0.0] * 48,
            "latents_std": [1.0] * 48,
        },
    )
)
