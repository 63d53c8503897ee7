"""Wan 2.1 image-to-video (Apache-2.0): the first frame as latents, a mask, and states of CLIP.

The network reads 36 channels: 16 noisy ones, 4 of the mask, and 16 of the VAE's latents of the
first frame followed by grey ones. Every training clip is conditioned on its own first frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from finetune.models.diffusers.pipeline_folder import find_part
from finetune.models.diffusers.pipelines import to_picture
from finetune.models.diffusers.video_vae import VideoVAE
from finetune.models.diffusers.wan import IMAGE_PIPELINE, Wan, WanVersion
from finetune.models.family import TINY_RANDOM, TINY_SEED, ClipConditions
from finetune.models.library_errors import library_errors
from finetune.models.weight_files import load_whole
from finetune.models.weights_digest import weights_digest

MASK_CHANNELS = 4  # one for each frame of a latent
STATE_TOKENS, STATE_WIDTH = 257, 1280  # of CLIP ViT-H/14 at 224 x 224
TINY_IMAGE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}


class ImageToVideoVAE(VideoVAE):
    """Encode windows with what the network knows of their first frame."""

    def __init__(self, network: nn.Module, image_encoder: Any, image_processor: Any) -> None:
        super().__init__(network)
        self.image_encoder = image_encoder.eval().requires_grad_(False)
        self.image_processor = image_processor

    @property
    def digest(self) -> str:
        config = self.image_encoder.config.to_dict()
        return weights_digest(self.image_encoder, config, super().digest)

    @property
    def pipeline_parts(self) -> dict[str, Any]:
        return {"image_encoder": self.image_encoder, "image_processor": self.image_processor}

    @torch.no_grad()
    def encode_window(self, pixels: Tensor) -> dict[str, Tensor]:
        """Add "condition" [T', C, h, w] and "image_states" [tokens, width] of the first frame."""
        grey = torch.cat([pixels[:1], torch.zeros_like(pixels[1:])])
        latents = self.network.encode(
            self.cast(grey).transpose(0, 1)[None]
        ).latent_dist.mean.float()
        mean, std = self.statistics(latents)
        condition = ((latents - mean) * (1 / std))[0].transpose(0, 1)
        states = self._image_states(pixels[:1])
        return {**super().encode_window(pixels), "condition": condition, "image_states": states}

    def _image_states(self, image: Tensor) -> Tensor:
        weight = next(self.image_encoder.parameters())
        inputs = self.image_processor(images=to_picture(image), return_tensors="pt")["pixel_values"]
        states = self.image_encoder(inputs.to(weight), output_hidden_states=True).hidden_states[-2]
        return torch.as_tensor(states[0]).float()

    def save(self, folder: Path) -> None:
        """Write the parts in diffusers' layout, a folder each."""
        self.network.save_pretrained(folder / "vae")
        self.image_encoder.save_pretrained(folder / "image_encoder")
        self.image_processor.save_pretrained(folder / "image_processor")


class WanImageToVideo(Wan):
    """Wan 2.1 I2V 14B, for 480p or 720p."""

    pipeline_class = IMAGE_PIPELINE
    needs_image = True
    start_images = ("image",)

    def __init__(self, version: WanVersion) -> None:
        super().__init__(version)
        heads = self.tiny_network["num_attention_heads"] * self.tiny_network["attention_head_dim"]
        self.tiny_network = {
            **self.tiny_network,
            "in_channels": self.input_channels,
            "image_dim": TINY_IMAGE["hidden_size"],
            "added_kv_proj_dim": heads,
        }

    @property
    def input_channels(self) -> int:
        return 2 * self.channels + MASK_CHANNELS

    def extra_shapes(self, frames: int, height: int, width: int) -> Mapping[str, Sequence[int]]:
        channels, latents, *size = self.latent_shape(frames, height, width)
        return {
            "condition": (latents, channels, *size),
            "image_states": (STATE_TOKENS, STATE_WIDTH),
        }

    def load_codec(self, name: str, *, dtype: torch.dtype, device: torch.device) -> VideoVAE:
        vae = super().load_codec(name, dtype=dtype, device=device).network
        encoder, processor = _tiny_clip() if name == TINY_RANDOM else _load_clip(name, dtype)
        return ImageToVideoVAE(vae, encoder.to(device), processor)

    def image_inputs(self, x: Tensor, conditions: ClipConditions) -> dict[str, Tensor]:
        condition = conditions.extras["condition"].transpose(1, 2)
        mask = x.new_zeros(len(x), MASK_CHANNELS, *x.shape[2:])
        mask[:, :, 0] = 1
        return {
            "hidden_states": torch.cat([x, mask, condition.to(x)], dim=1),
            "encoder_hidden_states_image": conditions.extras["image_states"],
        }


def _load_clip(name: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Load CLIP's vision model and its preprocessing from a pipeline's folders."""
    import transformers

    folder = find_part(name, "image_encoder")
    encoder = load_whole(transformers.CLIPVisionModel, folder, torch_dtype=dtype)
    settings = find_part(name, "image_processor")
    with library_errors(settings):
        return encoder, _processor_class().from_pretrained(settings)


def _tiny_clip() -> tuple[Any, Any]:
    import transformers

    size = {"height": TINY_IMAGE["image_size"], "width": TINY_IMAGE["image_size"]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(TINY_SEED)
        encoder = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**TINY_IMAGE))
    return encoder, _processor_class()(size={"shortest_edge": size["height"]}, crop_size=size)


def _processor_class() -> Any:
    """Return CLIP's preprocessing by PIL: the other one needs torchvision."""
    import transformers

    named = getattr(transformers, "CLIPImageProcessorPil", None)  # since transformers 5
    return named or transformers.CLIPImageProcessor


WAN_2_1_I2V = WanImageToVideo(WanVersion(name="wan2.1-i2v"))
