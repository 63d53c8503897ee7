"""LTX-Video 0.9 (its own licence): packed latents, a token for each, rotary places in seconds.

Flow matching on times 1000 t; T5 v1.1 states of 128 tokens, encoded without a mask and attended to
with one; a causal VAE with 8 frames a latent. Shifts: the pipeline's scheduler, read on 2026-11-29.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from finetune.models.diffusers.base import (
    FIRST_FRAME_GIVEN,
    TIME_SCALE,
    TINY_TEXT_DIM,
    DiffusersFamily,
    token_times,
)
from finetune.models.diffusers.block_checkpointing import recompute_blocks
from finetune.models.diffusers.ltx_cost import LTXCost
from finetune.models.diffusers.networks import diffusers_class
from finetune.models.diffusers.pipelines import call_pipeline, make_pipeline, text_inputs
from finetune.models.diffusers.video_vae import VideoVAE
from finetune.models.family import ClipConditions, LatentCodec, LatentRequest, TensorDict, TextSize
from finetune.models.grid import Grid
from finetune.models.text_states import drop_text, pad_states
from finetune.objectives import FlowMatching
from finetune.objectives.base import Denoiser, Objective

SHIFTS = (0.95, 2.05)  # logarithms of the shift at these numbers of tokens, a line between
SHIFT_TOKENS = (1024, 4096)
TERMINAL_TIME = 0.1  # of sampling: its last time before 0
TEXT_INPUTS = {"prompt_embeds": "states", "prompt_attention_mask": "mask"}


class LTX(DiffusersFamily):
    """The 2B model of LTX-Video 0.9."""

    name = "ltx0.9"
    transformer_class = "LTXVideoTransformer3DModel"
    codec_class = "AutoencoderKLLTXVideo"
    codec_width_key = "latent_channels"
    pipeline_class = "LTXPipeline"
    input_layer = "proj_in"
    blocks_name = "transformer_blocks"
    text_width_key = "caption_channels"
    architecture = "T5"
    text_tokens = 128
    attend_to_padding = True
    frame_stride, spatial_stride, channels = 8, 32, 128
    grid = Grid(frame_step=8, frame_offset=1, max_frames=257, pixel_multiple=32, min_side=32)
    cost = LTXCost()
    licence = "other"
    native_fps = 25.0
    start_images = ("image",)
    mask_probabilities = FIRST_FRAME_GIVEN
    shape_fields = ("num_layers", "num_attention_heads", "attention_head_dim", "caption_channels")
    lora_targets = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")
    tiny_network = MappingProxyType(
        {
            "in_channels": 128,
            "out_channels": 128,
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "cross_attention_dim": 24,
            "num_layers": 2,
            "caption_channels": TINY_TEXT_DIM,
        }
    )
    tiny_codec = MappingProxyType(
        {
            "latent_channels": 128,
            "block_out_channels": (8, 8, 8, 8),
            "decoder_block_out_channels": (8, 8, 8, 8),
            "layers_per_block": (1, 1, 1, 1, 1),
            "decoder_layers_per_block": (1, 1, 1, 1, 1),
        }
    )

    def timestep_shift(self, latent_shape: Sequence[int]) -> float:
        """Return exp of a line through 0.95 at 1,024 tokens and 2.05 at 4,096."""
        tokens = math.prod(latent_shape[1:])
        slope = (SHIFTS[1] - SHIFTS[0]) / (SHIFT_TOKENS[1] - SHIFT_TOKENS[0])
        return math.exp(SHIFTS[0] + slope * (tokens - SHIFT_TOKENS[0]))

    def collate_text(
        self, captions: Sequence[TensorDict | None], size: TextSize, device: torch.device
    ) -> dict[str, Tensor]:
        states = [None if c is None else c["states"] for c in captions]
        padded, mask = pad_states(states, size, device)
        return {"states": padded, "mask": mask}

    def denoiser(
        self,
        network: nn.Module,
        conditions: ClipConditions,
        *,
        drop: Tensor | None = None,
        activation_checkpointing: int = 0,
    ) -> Denoiser:
        text = drop_text(conditions.text, conditions.null_text, drop)
        rates = torch.tensor(conditions.fps, device=text["states"].device).view(-1, 1, 1, 1, 1)
        scale = (self.frame_stride / rates, self.spatial_stride, self.spatial_stride)
        recompute_blocks(network, self.blocks(network), activation_checkpointing)

        def denoise(x: Tensor, time: Tensor, frame_mask: Tensor | None, /) -> Tensor:
            _, _, frames, height, width = x.shape
            times = TIME_SCALE * time
            if frame_mask is not None:
                times = token_times(time, frame_mask, frames, height * width)
            velocity: Tensor = network(
                hidden_states=pack(x),
                encoder_hidden_states=text["states"],
                encoder_attention_mask=text["mask"],
                timestep=times,
                num_frames=frames,
                height=height,
                width=width,
                rope_interpolation_scale=scale,
                return_dict=False,
            )[0]
            return velocity.float().transpose(1, 2).reshape(x.shape)

        return denoise

    def scheduler(self, shift: float, steps: int) -> Any:
        """Return the published scheduler; shift 0: by the number of tokens, as the pipeline does.

        It stretches the times so that the last one before 0 is 0.1; a single step has time 1.
        """
        base, most = SHIFTS
        dynamic = {
            "use_dynamic_shifting": True,
            "base_shift": base,
            "max_shift": most,
            "base_image_seq_len": SHIFT_TOKENS[0],
            "max_image_seq_len": SHIFT_TOKENS[1],
        }
        settings = {"shift": shift} if shift else dynamic
        return diffusers_class("FlowMatchEulerDiscreteScheduler")(
            shift_terminal=TERMINAL_TIME if steps > 1 else None, **settings
        )

    def sample_latent(
        self, network: nn.Module, codec: LatentCodec, objective: Objective, request: LatentRequest
    ) -> Tensor:
        """Sample by `LTXPipeline`, or by `LTXImageToVideoPipeline` if the first frame is given."""
        assert isinstance(objective, FlowMatching)
        assert isinstance(codec, VideoVAE)
        kind, start = self.pipeline_class, request.noise.clone()
        if request.image is not None:
            kind = "LTXImageToVideoPipeline"
            start[0, :, 0] = codec.encode_window(request.image)["mean"][0]
        scheduler = self.scheduler(objective.settings.shift, request.steps)
        pipeline = make_pipeline(kind, scheduler, codec.network, transformer=network)
        latent = call_pipeline(
            pipeline,
            request,
            latents=pack(start),
            frame_rate=request.conditions.fps[0],
            **text_inputs(request, TEXT_INPUTS),
        )
        return latent.transpose(1, 2).reshape(start.shape)


def pack(latents: Tensor) -> Tensor:
    """Return latents [B, C, T, h, w] as tokens [B, T h w, C]."""
    return latents.flatten(2).transpose(1, 2)


LTX_0_9 = LTX()
