"""The nine kinds of frame masks: their shapes and their rates."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from finetune.objectives.frame_masks import (
    MASK_KINDS,
    MASK_PROBABILITIES,
    draw_frame_mask,
    frame_mask,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def runs(mask: torch.Tensor) -> int:
    """Count contiguous runs of conditioning frames."""
    given_frames = (~mask).int()
    return int((given_frames.diff(prepend=torch.zeros(1)) == 1).sum())


@given(st.sampled_from(MASK_KINDS), st.integers(1, 64), st.integers(0, 999))
def test_something_is_always_left_to_denoise(kind: str, frames: int, seed: int) -> None:
    mask = frame_mask(kind, frames, generator(seed))
    assert mask.shape == (frames,)
    assert mask.any()
    if frames == 1 or kind == "none":
        assert mask.all()
    else:
        assert not mask.all()


@given(st.integers(4, 64), st.integers(0, 999))
def test_quarters_have_one_to_a_quarter_of_the_frames(frames: int, seed: int) -> None:
    most = frames // 4
    for place in ("random", "head", "tail"):
        mask = frame_mask(f"quarter_{place}", frames, generator(seed))
        assert 1 <= int((~mask).sum()) <= most
        assert runs(mask) == 1
    both = ~frame_mask("quarter_head_tail", frames, generator(seed))
    count = int(both.sum()) // 2
    assert 1 <= count <= most
    assert both[:count].all()
    assert both[-count:].all()


def test_one_frame_kinds_give_the_frames_they_name() -> None:
    assert frame_mask("frame_head", 5, generator()).tolist() == [False] + [True] * 4
    assert frame_mask("frame_tail", 5, generator()).tolist() == [True] * 4 + [False]
    ends = frame_mask("frame_head_tail", 5, generator()).tolist()
    assert ends == [False, True, True, True, False]


def test_every_place_and_count_can_be_drawn() -> None:
    draw = generator()
    masks = [~frame_mask("quarter_random", 8, draw) for _ in range(400)]
    assert {int(mask.sum()) for mask in masks} == {1, 2}
    assert {int(mask.int().argmax()) for mask in masks} == set(range(8))


def test_kinds_come_at_the_recipes_rates() -> None:
    draw = generator()
    masks = [draw_frame_mask(32, MASK_PROBABILITIES, draw) for _ in range(4000)]
    untouched = sum(bool(mask.all()) for mask in masks) / len(masks)
    assert untouched == pytest.approx(0.75, abs=0.02)
    assert set(MASK_PROBABILITIES) == set(MASK_KINDS)
    assert sum(MASK_PROBABILITIES.values()) == pytest.approx(1)


def test_the_generator_decides() -> None:
    first = [draw_frame_mask(16, MASK_PROBABILITIES, generator(s)).tolist() for s in range(50)]
    again = [draw_frame_mask(16, MASK_PROBABILITIES, generator(s)).tolist() for s in range(50)]
    assert first == again
