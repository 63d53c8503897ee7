"""Attention in time, in space and to the text against the plain ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="no Triton on this machine: the kernels are not tested")

from finetune.kernels import reference, space, text, time
from finetune.kernels.reference import RotaryTable
from tests.finetune.kernels.agreement import DEVICE, agree

pytestmark = pytest.mark.usefixtures("kernels")

# float32 stays plain on a GPU (`select_ops`): products of it take minutes to compile
EXACT = DEVICE == "cpu"


def qkv(*shape: int) -> list[Tensor]:
    """A projection's output [..., 3, H, d] and the two norms' weights [d]."""
    generator = torch.Generator().manual_seed(0)
    weights = [1 + 0.3 * torch.randn(shape[-1], generator=generator) for _ in range(2)]
    return [torch.randn(shape, generator=generator), *weights]


def rotation(frames: int, dim: int) -> RotaryTable:
    frequencies = torch.rand(dim // 2, generator=torch.Generator().manual_seed(1))
    angles = torch.arange(frames)[:, None] * frequencies
    return RotaryTable(angles.cos().to(DEVICE), angles.sin().to(DEVICE))


@pytest.mark.parametrize(
    ("clips", "frames", "patches", "heads", "dim"),
    [(2, 5, 4, 2, 24), (1, 32, 3, 2, 72), (1, 64, 2, 1, 72), (1, 17, 3, 2, 24)],
)
def test_time_is_plain(clips: int, frames: int, patches: int, heads: int, dim: int) -> None:
    turned = rotation(frames, dim)
    agree(
        lambda *inputs: time.temporal_attention(*inputs, turned),
        lambda *inputs: reference.temporal_attention(*inputs, turned),
        qkv(clips, frames, patches, 3, heads, dim),
        exact=EXACT,
    )


def test_one_frame_attends_to_itself_and_teaches_no_norm() -> None:
    turned = rotation(1, 24)
    agree(
        lambda *inputs: time.temporal_attention(*inputs, turned)[0],
        lambda *inputs: reference.temporal_attention(*inputs, turned)[0] + 0 * inputs[1].sum(),
        qkv(3, 1, 5, 3, 2, 24),
    )


@pytest.mark.parametrize(("frames", "tokens", "heads", "dim"), [(3, 15, 2, 24), (1, 20, 16, 72)])
def test_space_is_plain(frames: int, tokens: int, heads: int, dim: int) -> None:
    inputs = qkv(frames, tokens, 3, heads, dim)
    agree(space.spatial_attention, reference.spatial_attention, inputs)


TEXTS = {
    "all": torch.ones(3, 6, dtype=torch.bool),
    "ragged": torch.arange(6) < torch.tensor([[1], [6], [3]]),
    "scattered": torch.tensor([[0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0]]).bool(),
    "silent": torch.arange(6) < torch.tensor([[0], [6], [0]]),
    "longer than a tile": torch.rand(2, 70, generator=torch.Generator().manual_seed(3)) < 0.97,
}


@pytest.mark.parametrize(
    ("text_mask", "heads", "dim"),
    [(mask, 2, 24) for mask in TEXTS.values()] + [(TEXTS["ragged"], 1, dim) for dim in (72, 16)],
    ids=[*TEXTS, "wide heads", "narrow heads"],
)
def test_text_is_plain(text_mask: Tensor, heads: int, dim: int) -> None:
    generator = torch.Generator().manual_seed(2)
    clips, length = text_mask.shape
    q = torch.randn(clips, 15, heads, dim, generator=generator)
    kv = torch.randn(clips, length, 2, heads, dim, generator=generator)
    mask = text_mask.to(DEVICE)
    layout = text.lay_out_text(mask)
    agree(
        lambda q, kv: text.text_attention(q, kv, layout),
        lambda q, kv: reference.text_attention(q, kv, mask),
        [q, kv],
        exact=EXACT,
    )


def test_many_queries_share_the_keys_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    few = text.kernels.KEY_GRAD_TILES._replace(QUERIES=16)
    monkeypatch.setattr(text.kernels, "KEY_GRAD_TILES", few)
    generator = torch.Generator().manual_seed(4)
    mask = torch.arange(6) < torch.tensor([[4], [6]])
    layout = text.lay_out_text(mask.to(DEVICE))
    agree(
        lambda q, kv: text.text_attention(q, kv, layout),
        lambda q, kv: reference.text_attention(q, kv, mask.to(DEVICE)),
        [
            torch.randn(2, 100, 2, 24, generator=generator),
            torch.randn(2, 6, 2, 2, 24, generator=generator),
        ],
        exact=EXACT,
    )
