"""A second model family in one file: a network of two blocks, flow matching, a causal video VAE
that compresses time by 4, and two text states. It says nothing that `Family` does not ask.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from finetune.config import Flow, Recipe
from finetune.errors import WeightsError
from finetune.models.cost_model import CostModel
from finetune.models.family import ClipConditions, EncodedCaption, Family, TensorDict, TextSize
from finetune.models.grid import Grid
from finetune.models.text_states import drop_text, pad_states
from finetune.models.weights_digest import weights_digest
from finetune.objectives.base import Denoiser, Objective
from finetune.objectives.flow_matching import FlowMatching

CHANNELS, POOLED, WORDS = 8, 8, 64
TIME_STRIDE, SPACE_STRIDE = 4, 8
LATENT_STD = 0.05
END = "</s>"


# -- the network -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    depth: int = 2
    hidden_size: int = 32
    num_heads: int = 2
    tokens: int = 8
    width: int = 16


class ToyBlock(nn.Module):
    """Self-attention over all patches, attention to the text, MLP."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        size, heads = config.hidden_size, config.num_heads
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(size) for _ in range(3))
        self.attention = nn.MultiheadAttention(size, heads, batch_first=True)
        self.to_text = nn.MultiheadAttention(
            size, heads, kdim=config.width, vdim=config.width, batch_first=True
        )
        self.mlp = nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))

    def forward(self, h: Tensor, time: Tensor, text: Tensor, padding: Tensor) -> Tensor:
        x = self.norm1(h) + time
        h = h + self.attention(x, x, x, need_weights=False)[0]
        x = self.norm2(h)
        h = h + self.to_text(x, text, text, key_padding_mask=padding, need_weights=False)[0]
        return h + self.mlp(self.norm3(h) + time)


class ToyNetwork(nn.Module):
    """Latents, a time for each frame, and two text states -> velocity."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config, size = config, config.hidden_size
        self.patch = nn.Linear(4 * CHANNELS, size)
        self.time = nn.Sequential(nn.Linear(16, size), nn.SiLU(), nn.Linear(size, size))
        self.pooled = nn.Linear(POOLED, size)
        self.blocks = nn.ModuleList(ToyBlock(config) for _ in range(config.depth))
        self.out = nn.Linear(size, 4 * CHANNELS)

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        states: Tensor,
        mask: Tensor,
        pooled: Tensor,
        *,
        activation_checkpointing: int = 0,
    ) -> Tensor:
        """x [B, C, T, h, w] of even h and w, time [B, T] in 0..1000 -> [B, C, T, h, w]."""
        dtype = self.out.weight.dtype
        b, c, t, rows, columns = x.shape
        patches = x.reshape(b, c, t, rows // 2, 2, columns // 2, 2).permute(0, 2, 3, 5, 4, 6, 1)
        h = self.patch(patches.reshape(b, t * (rows // 2) * (columns // 2), 4 * c).to(dtype))
        h = h + self._places(t, rows // 2, columns // 2).to(h)
        times = self.time(sinusoids(time, 16).to(dtype)) + self.pooled(pooled.to(dtype))[:, None]
        times = times.repeat_interleave((rows // 2) * (columns // 2), dim=1)
        for number, block in enumerate(self.blocks):
            given = (h, times, states.to(dtype), ~mask)
            again = number < activation_checkpointing and torch.is_grad_enabled()
            h = checkpoint(block, *given, use_reentrant=False) if again else block(*given)
        out = self.out(h).reshape(b, t, rows // 2, columns // 2, 2, 2, c)
        return out.permute(0, 6, 1, 2, 4, 3, 5).reshape(x.shape).float()

    def _places(self, *size: int) -> Tensor:
        """[1, t * h * w, D]: a third of the width for each axis."""
        third = self.config.hidden_size // 3 // 2 * 2
        axes = torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")
        codes = torch.cat([sinusoids(axis.flatten() * 30.0, third) for axis in axes], dim=-1)
        return F.pad(codes, (0, self.config.hidden_size - 3 * third))[None]


def sinusoids(values: Tensor, width: int) -> Tensor:
    rates = torch.exp(-torch.arange(width // 2, device=values.device) / (width // 2) * 6.9)
    angles = values[..., None].float() * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


# -- its encoders ----------------------------------------------------------------------------------


def read_parts(folder: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder} holds no toy weights: name a folder with config.json")
    files = sorted(folder.glob("*.safetensors"))
    tensors = {name: value for file in files for name, value in load_file(file).items()}
    return json.loads((folder / "config.json").read_text()), tensors


def write_parts(folder: Path, config: Mapping[str, Any], module: nn.Module) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({n: t.contiguous() for n, t in module.state_dict().items()}, folder / "w.safetensors")
    (folder / "config.json").write_text(json.dumps(config))


class ToyVideoVAE(nn.Module):
    """Frame 0 alone, then four frames a latent; an orthogonal map of block means, and back."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            square = torch.linalg.qr(torch.randn(3 * TIME_STRIDE, 3 * TIME_STRIDE))[0]
        self.register_buffer("weight", square[:CHANNELS].contiguous())

    @property
    def digest(self) -> str:
        return weights_digest(self, {"kind": "toy video VAE"})

    def encode_window(self, pixels: Tensor) -> TensorDict:
        """A window of 4n + 1 frames; "first" is an extra that a network may be given."""
        assert (len(pixels) - 1) % TIME_STRIDE == 0, len(pixels)
        small = F.avg_pool2d(pixels.to(self.weight.device).float(), SPACE_STRIDE)
        small = torch.cat([small[:1].expand(TIME_STRIDE - 1, -1, -1, -1), small])
        groups = small.reshape(-1, 3 * TIME_STRIDE, *small.shape[2:])
        mean = torch.einsum("ck,tkhw->tchw", self.weight, groups)
        return {"mean": mean, "std": torch.full_like(mean, LATENT_STD)}

    def decode(self, latents: Tensor) -> Tensor:
        groups = torch.einsum("ck,tchw->tkhw", self.weight, latents.to(self.weight))
        small = groups.reshape(-1, 3, *groups.shape[2:])[TIME_STRIDE - 1 :]
        return F.interpolate(small, scale_factor=SPACE_STRIDE).clamp(-1, 1)

    def compile_network(self) -> None:
        """Leave it as it is: one einsum."""

    def save(self, folder: Path) -> None:
        write_parts(folder, {"kind": "toy video VAE"}, self)


class ToyTextEncoder(nn.Module):
    """A state for each word and one for all: both from tables, by the word's hash."""

    def __init__(self, size: TextSize) -> None:
        super().__init__()
        self.size = size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.words = nn.Embedding(WORDS, size.width).requires_grad_(False)
            self.pooled = nn.Embedding(WORDS, POOLED).requires_grad_(False)

    @property
    def digest(self) -> str:
        return weights_digest(self, self._config)

    @property
    def _config(self) -> dict[str, int]:
        return dict(zip(("tokens", "width"), self.size, strict=True))

    def encode_captions(self, captions: Sequence[str]) -> list[EncodedCaption]:
        return [self._encode(caption.split()) for caption in captions]

    def _encode(self, words: list[str]) -> EncodedCaption:
        kept = [*words[: self.size.tokens - 1], END]
        numbers = [hashlib.sha256(word.encode()).digest()[0] % WORDS for word in kept]
        found = torch.tensor(numbers, device=self.words.weight.device)
        tensors = {
            "states": self.words(found).float(),
            "pooled": self.pooled(found).float().mean(0),
        }
        return EncodedCaption(tensors, len(words) + 1 - len(kept))

    def compile_network(self) -> None:
        """Leave it as it is: two look-ups."""

    def save(self, folder: Path) -> None:
        write_parts(folder, self._config, self)


# -- the family ------------------------------------------------------------------------------------


class ToyCost(CostModel):
    encoder_gib = 0.1

    def parameters(self, recipe: Recipe) -> int:
        return sum(p.numel() for p in TOY.new_network(recipe).parameters())

    def blocks(self, recipe: Recipe) -> int:
        return recipe.network.depth

    def tokens(self, frames: int, height: int, width: int) -> int:
        _, t, rows, columns = TOY.latent_shape(frames, height, width)
        return t * (rows // 2) * (columns // 2)

    def forward_tflop(self, recipe: Recipe, frames: int, height: int, width: int) -> float:
        return 2 * self.parameters(recipe) * self.tokens(frames, height, width) / 1e12

    def activation_bytes(self, recipe: Recipe) -> float:
        return 1000.0 * recipe.network.depth

    def mfu(self, recipe: Recipe) -> float:
        return 0.3


class ToyFamily(Family):
    name = "toy"
    grid = Grid(frame_step=4, frame_offset=1, max_frames=81, pixel_multiple=16, min_side=32)
    cost = ToyCost()
    shape_fields = ("depth", "hidden_size", "tokens", "width")
    licence = "cc0-1.0"
    native_fps = 12.0
    null_caption = ""
    mask_probabilities: Mapping[str, float] = {"none": 0.5, "frame_head": 0.5}
    start_images = ("image",)

    def objective(self, settings: Flow) -> Objective:
        return FlowMatching(settings, self.timestep_shift)

    def timestep_shift(self, latent_shape: Sequence[int]) -> float:
        return 1.0 + latent_shape[1] / 10  # longer clips are trained at more noise

    def new_network(self, recipe: Recipe) -> ToyNetwork:
        if recipe.init != "random":
            return self.load_network(recipe.init)
        n = recipe.network
        return ToyNetwork(
            ToyConfig(
                depth=n.depth,
                hidden_size=n.hidden_size,
                num_heads=n.num_heads,
                tokens=recipe.text_tokens,
                width=n.caption_channels,
            )
        )

    def load_network(
        self,
        source: Path | str,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> ToyNetwork:
        config, tensors = read_parts(source)
        network = ToyNetwork(ToyConfig(**config))
        network.load_state_dict(tensors)
        return network.to(device=device, dtype=dtype)

    def network_config(self, network: nn.Module) -> dict[str, Any]:
        assert isinstance(network, ToyNetwork)
        return dataclasses.asdict(network.config)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        assert isinstance(network, ToyNetwork)
        return list(network.blocks)

    def load_codec(self, name: str, *, dtype: torch.dtype, device: torch.device) -> ToyVideoVAE:
        vae = ToyVideoVAE()
        if name != "tiny-random":
            vae.load_state_dict(read_parts(name)[1])
        return vae.to(device)

    def load_caption_encoder(
        self,
        name: str,
        size: TextSize,
        captions: Callable[[], Sequence[str]],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> ToyTextEncoder:
        if name == "tiny-random":
            return ToyTextEncoder(size).to(device)
        config, tensors = read_parts(name)
        encoder = ToyTextEncoder(TextSize(**config))
        encoder.load_state_dict(tensors)
        return encoder.to(device)

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        t = 1 + (frames - 1) // TIME_STRIDE
        return CHANNELS, t, height // SPACE_STRIDE, width // SPACE_STRIDE

    def text_size(self, network: nn.Module) -> TextSize:
        assert isinstance(network, ToyNetwork)
        return TextSize(network.config.tokens, network.config.width)

    def collate_text(
        self, captions: Sequence[TensorDict | None], size: TextSize, device: torch.device
    ) -> dict[str, Tensor]:
        states = [None if c is None else c["states"] for c in captions]
        padded, mask = pad_states(states, size, device)
        none = torch.zeros(POOLED)
        pooled = [none if c is None else c["pooled"].float().cpu() for c in captions]
        return {"states": padded, "mask": mask, "pooled": torch.stack(pooled).to(device)}

    def denoiser(
        self,
        network: nn.Module,
        conditions: ClipConditions,
        *,
        drop: Tensor | None = None,
        activation_checkpointing: int = 0,
    ) -> Denoiser:
        text = drop_text(conditions.text, conditions.null_text, drop)

        def denoise(x: Tensor, time: Tensor, frame_mask: Tensor | None, /) -> Tensor:
            """One time for each latent frame: 0 for those that are given."""
            times = 1000 * time[:, None].expand(-1, x.shape[2])
            if frame_mask is not None:
                times = torch.where(frame_mask, times, 0)
            velocity: Tensor = network(
                x, times, **text, activation_checkpointing=activation_checkpointing
            )
            return velocity

        return denoise


TOY = ToyFamily()
