"""Channels-last GroupNorm and attention for a compiled VAE.

The references are `torch.nn.GroupNorm` and diffusers' own attention processor.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

HAS_FLOAT32_BMM_OUTPUT = torch.__version__ >= "2.10"
"""torch 2.8 has `bmm(out_dtype=float32)` for half precision, but it compiles only since 2.10."""


class ChannelsLastGroupNorm(nn.GroupNorm):
    """GroupNorm [N, C, ...] that reduces each channel first, then the channels of a group.

    Adjacent elements in memory are channels: reducing a group's four channels at every pixel would
    read eight bytes at a time. Statistics and the affine map are in float32.
    """

    @classmethod
    def from_norm(cls, norm: nn.GroupNorm) -> ChannelsLastGroupNorm:
        """Replace a norm, sharing its weights."""
        replacement = cls(norm.num_groups, norm.num_channels, norm.eps, device="meta")
        replacement.weight, replacement.bias = norm.weight, norm.bias
        return replacement

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.float()
        var, mean = torch.var_mean(x32, tuple(range(2, x.dim())), correction=0)
        groups = (self.num_groups, -1)
        var, mean = var.unflatten(1, groups), mean.unflatten(1, groups)
        group_mean = mean.mean(2, keepdim=True)
        group_var = (var + (mean - group_mean).square()).mean(2, keepdim=True)
        scale = (group_var + self.eps).rsqrt() * self.weight.float().view(groups)
        shift = self.bias.float().view(groups) - group_mean * scale
        scale, shift = (part.view(*x.shape[:2], *[1] * (x.dim() - 2)) for part in (scale, shift))
        out: Tensor = (x32 * scale + shift).to(x.dtype)
        return out


class WideHeadAttnProcessor:
    """Attention processor of diffusers for one head of 512; fused attention supports up to 256.

    Scores are float32, [1, S, S] for one image at a time: 52 MB at 360p, 0.8 GB at 720p.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        temb: None = None,
    ) -> Tensor:
        """Attend [N, C, H, W] -> the same shape; a VAE passes None for the other arguments."""
        x = attn.group_norm(hidden_states).flatten(2).transpose(1, 2)
        images = [projected.split(1) for projected in (attn.to_q(x), attn.to_k(x), attn.to_v(x))]
        attended = torch.cat(
            [_single_head_attention(q, k, v, attn.scale) for q, k, v in zip(*images, strict=True)]
        )
        out = attn.to_out[0](attended).transpose(1, 2).reshape(hidden_states.shape)
        added: Tensor = (out + hidden_states) / attn.rescale_output_factor
        return added


def _single_head_attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    scores = _matmul_float32(q, k.transpose(1, 2)) * scale
    return scores.softmax(-1).to(v.dtype) @ v


def _matmul_float32(a: Tensor, b: Tensor) -> Tensor:
    """Multiply batches of matrices of any precision, with a float32 result."""
    if HAS_FLOAT32_BMM_OUTPUT and a.is_cuda and a.dtype != torch.float32:
        return torch.bmm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


def use_channels_last(network: nn.Module) -> None:
    """Convert a VAE's weights to channels-last, and replace its norms and attentions."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.GroupNorm:
                setattr(module, name, ChannelsLastGroupNorm.from_norm(child))
        if getattr(module, "heads", 0) == 1:  # diffusers' Attention
            cast(Any, module).set_processor(WideHeadAttnProcessor())
