"""Attention in time, in space and to the text against the plain ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="no Triton on this machine: the kernels are not tested")

from finetune.kernels import reference, space, text, time
from finetune.models.embeddings import Rotation
from tests.finetune.kernels import varlen
from tests.finetune.kernels.agreement import DEVICE, agree


def qkv(*shape: int) -> list[Tensor]:
    """A projection's output [..., 3, H, d] and the two norms' weights [d]."""
    generator = torch.Generator().manual_seed(0)
    weights = [1 + 0.3 * torch.randn(shape[-1], generator=generator) for _ in range(2)]
    return [torch.randn(shape, generator=generator), *weights]


def rotation(frames: int, dim: int) -> Rotation:
    frequencies = torch.rand(dim // 2, generator=torch.Generator().manual_seed(1))
    angles = torch.arange(frames)[:, None] * frequencies
    return Rotation(angles.cos().to(DEVICE), angles.sin().to(DEVICE))


@pytest.mark.parametrize(
    ("clips", "frames", "places", "heads", "dim"),
    [(2, 5, 4, 2, 24), (1, 32, 3, 2, 72), (1, 64, 2, 1, 72), (1, 17, 3, 2, 24)],
)
def test_time_is_plain(clips: int, frames: int, places: int, heads: int, dim: int) -> None:
    turned = rotation(frames, dim)
    agree(
        lambda *inputs: time.time_attention(*inputs, turned),
        lambda *inputs: reference.time_attention(*inputs, turned),
        qkv(clips, frames, places, 3, heads, dim),
    )


def test_one_frame_attends_to_itself_and_teaches_no_norm() -> None:
    turned = rotation(1, 24)
    agree(
        lambda *inputs: time.time_attention(*inputs, turned)[0],
        lambda *inputs: reference.time_attention(*inputs, turned)[0] + 0 * inputs[1].sum(),
        qkv(3, 1, 5, 3, 2, 24),
    )


@pytest.mark.parametrize(("frames", "tokens", "heads", "dim"), [(3, 15, 2, 24), (1, 20, 16, 72)])
def test_space_is_plain(frames: int, tokens: int, heads: int, dim: int) -> None:
    inputs = qkv(frames, tokens, 3, heads, dim)
    agree(space.space_attention, reference.space_attention, inputs)


# A group's share of the keys' gradient is rounded before the groups are summed: 1.11 to 1.16 of the
# plain path's error on an H200. Of the whole network's gradients 1.1 holds (test_full_size).
GROUPED_SLACK = 1.25

MASKS = {
    "all": torch.ones(3, 6, dtype=torch.bool),
    "ragged": torch.arange(6) < torch.tensor([[1], [6], [3]]),
    "scattered": torch.tensor([[0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0]]).bool(),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("group", [3, 5, 100])
def test_text_is_plain(mask: Tensor, group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "GROUP", group)
    if DEVICE == "cpu":
        monkeypatch.setattr(text, "varlen_attn", varlen.on_cpu)
    generator = torch.Generator().manual_seed(2)
    q = torch.randn(3, 15, 2, 24, generator=generator)
    kv = torch.randn(3, 6, 2, 2, 24, generator=generator)
    layout = text.lay_out_text(mask.to(DEVICE), 15)
    agree(
        lambda q, kv: text.text_attention(q, kv, layout),
        lambda q, kv: reference.text_attention(q, kv, mask.to(DEVICE)),
        [q, kv],
        exact=DEVICE == "cpu",  # the GPU's own takes half precisions alone
        slack=GROUPED_SLACK,
    )


@pytest.mark.parametrize(("queries", "groups"), [(29440, 23), (920, 1), (15, 1), (58880, 46)])
def test_queries_are_split_in_equal_groups_of_a_thousand_or_more(queries: int, groups: int) -> None:
    assert text.group_count(queries) == groups
    assert queries % groups == 0
