"""A VAE's norms and attention as channels-last memory wants them: drop-ins, for compiled networks.

The references are `torch.nn.GroupNorm` and diffusers' own attention processor.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

HAS_FLOAT32_BMM_OUTPUT = torch.__version__ >= "2.10"
"""Whether a product of halves may be float32: there since 2.8, but it compiles only since 2.10."""


class ChannelsLastGroupNorm(nn.GroupNorm):
    """GroupNorm [N, C, ...] that sums each channel first, then the channels of a group.

    Neighbours in memory are channels: a reduction that takes a group's four of them from every
    pixel reads eight bytes at a time. Statistics and the affine map are in float32.
    """

    @classmethod
    def of(cls, norm: nn.GroupNorm) -> ChannelsLastGroupNorm:
        """With the weights of another, which are shared."""
        made = cls(norm.num_groups, norm.num_channels, norm.eps, device="meta")
        made.weight, made.bias = norm.weight, norm.bias
        return made

    def forward(self, x: Tensor) -> Tensor:
        whole = x.float()
        var, mean = torch.var_mean(whole, tuple(range(2, x.dim())), correction=0)
        groups = (self.num_groups, -1)
        var, mean = var.unflatten(1, groups), mean.unflatten(1, groups)
        centre = mean.mean(2, keepdim=True)
        spread = (var + (mean - centre).square()).mean(2, keepdim=True)
        scale = (spread + self.eps).rsqrt() * self.weight.float().view(groups)
        shift = self.bias.float().view(groups) - centre * scale
        scale, shift = (part.view(*x.shape[:2], *[1] * (x.dim() - 2)) for part in (scale, shift))
        out: Tensor = (whole * scale + shift).to(x.dtype)
        return out


class WideHeadAttnProcessor:
    """diffusers' processor for one head of 512: fused attention ends at 256 and crawls beyond.

    Scores are float32, [1, S, S] at a time: of one picture, 52 MB at 360p and 0.8 GB at 720p.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        temb: None = None,
    ) -> Tensor:
        """[N, C, H, W] -> the same; the other three are what diffusers passes, none in a VAE."""
        x = attn.group_norm(hidden_states).flatten(2).transpose(1, 2)
        pictures = [projected.split(1) for projected in (attn.to_q(x), attn.to_k(x), attn.to_v(x))]
        seen = torch.cat(
            [_single_head_attention(q, k, v, attn.scale) for q, k, v in zip(*pictures, strict=True)]
        )
        out = attn.to_out[0](seen).transpose(1, 2).reshape(hidden_states.shape)
        added: Tensor = (out + hidden_states) / attn.rescale_output_factor
        return added


def _single_head_attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    scores = _matmul_float32(q, k.transpose(1, 2)) * scale
    return scores.softmax(-1).to(v.dtype) @ v


def _matmul_float32(a: Tensor, b: Tensor) -> Tensor:
    """In float32, of factors in any precision."""
    if HAS_FLOAT32_BMM_OUTPUT and a.is_cuda and a.dtype != torch.float32:
        return torch.bmm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


def use_channels_last(network: nn.Module) -> None:
    """Lay a VAE's weights out so, and put these in the place of its norms and attentions."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.GroupNorm:
                setattr(module, name, ChannelsLastGroupNorm.of(child))
        if getattr(module, "heads", 0) == 1:  # diffusers' Attention
            cast(Any, module).set_processor(WideHeadAttnProcessor())
