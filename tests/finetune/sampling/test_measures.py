"""The numbers of a clip, on clips whose numbers are known before they are measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from finetune.errors import SamplingError
from finetune.sampling.measures import METRIC_TITLES, VideoMetrics, compute_metrics

HEIGHT, WIDTH, BLOCK = 72, 96, 32  # the block fills 15 % of the picture


def grey(levels: list[int]) -> Tensor:
    """A frame of one brightness for each level."""
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, HEIGHT, WIDTH)


def texture(height: int, width: int) -> Tensor:
    """[3, height, width] uint8: soft spots of light and dark, as flow can follow."""
    spots = torch.rand(1, 1, height // 4, width // 4, generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(spots, size=(height, width), mode="bicubic")[0].clamp(0, 1)
    return (smooth * 255).to(torch.uint8).expand(3, -1, -1)


def moving_block(speed: int, frames: int = 6) -> Tensor:
    """A textured square goes right by so many pixels a frame, over a background of one grey."""
    clip = torch.full((frames, 3, HEIGHT, WIDTH), 110, dtype=torch.uint8)
    for number in range(frames):
        left = 8 + speed * number
        clip[number, :, 20 : 20 + BLOCK, left : left + BLOCK] = texture(BLOCK, BLOCK)
    return clip


@given(st.integers(0, 255), st.integers(2, 12))
@settings(max_examples=10, deadline=None)
def test_a_still_does_nothing(level: int, frames: int) -> None:
    assert compute_metrics(grey([level] * frames)) == VideoMetrics(0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("speed", [1, 2, 4, 6])
def test_motion_is_the_speed_of_what_moves(speed: int) -> None:
    metrics = compute_metrics(moving_block(speed))
    assert metrics.motion * HEIGHT == pytest.approx(speed, rel=0.05)
    assert metrics.frozen == 0.0


@pytest.mark.parametrize("speed", [1, 3])
def test_a_pan_moves_as_fast_as_the_camera(speed: int) -> None:
    wide = texture(HEIGHT, WIDTH + 40)
    clip = torch.stack([wide[:, :, speed * n : speed * n + WIDTH] for n in range(6)])
    assert compute_metrics(clip).motion * HEIGHT == pytest.approx(speed, rel=0.1)


@pytest.mark.parametrize("held", [2, 3])
def test_animation_on_twos_and_threes_is_held_for_the_rest(held: int) -> None:
    drawings = moving_block(3, frames=4)
    metrics = compute_metrics(drawings.repeat_interleave(held, dim=0))
    pairs = 4 * held - 1
    assert metrics.frozen == pytest.approx((pairs - 3) / pairs)
    assert metrics.motion == pytest.approx(compute_metrics(drawings).motion * 3 / pairs, rel=1e-3)


@given(st.integers(1, 60))
@settings(max_examples=10, deadline=None)
def test_flicker_is_the_jump_and_a_fade_has_none(jump: int) -> None:
    assert compute_metrics(grey([100, 100 + jump] * 4)).flicker == pytest.approx(
        jump / 255, rel=1e-4
    )
    fade = compute_metrics(grey([10 + 4 * n for n in range(8)]))
    assert fade.flicker == pytest.approx(0.0, abs=1e-6)
    assert fade.frozen == 0.0


def test_sharpness_is_the_step_between_neighbours() -> None:
    board = torch.arange(HEIGHT)[:, None] + torch.arange(WIDTH)
    clip = (board % 2 * 51).to(torch.uint8).expand(4, 3, -1, -1)
    assert compute_metrics(clip).sharpness == pytest.approx(51 / 255, rel=1e-4)


def test_a_clip_that_blurs_drifts_below_zero_and_reversed_above() -> None:
    contrast = torch.linspace(1, 0.5, 8)[:, None, None, None]
    clip = (texture(HEIGHT, WIDTH).float() * contrast).to(torch.uint8)
    first, last = (float(contrast[part].mean()) for part in (slice(0, 2), slice(-2, None)))
    assert compute_metrics(clip).sharpness_drift == pytest.approx(last / first - 1, abs=0.01)
    assert compute_metrics(clip.flip(0)).sharpness_drift == pytest.approx(
        first / last - 1, abs=0.02
    )


@given(st.integers(1, 30))
@settings(max_examples=10, deadline=None)
def test_a_hue_ramp_drifts_by_its_length(step: int) -> None:
    """From blue towards red; a quarter of eight frames is two, so their middles are six apart."""
    clip = torch.zeros(8, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    for number in range(8):
        clip[number, 0], clip[number, 2] = step * number, 255 - step * number
    drifted = compute_metrics(clip).colour_drift
    assert drifted == pytest.approx(np.sqrt(2) * 6 * step / 255, rel=1e-4)
    assert compute_metrics(clip.flip(0)).colour_drift == pytest.approx(drifted, rel=1e-4)


@given(
    frames=st.integers(1, 5),
    height=st.integers(16, 40),
    width=st.integers(16, 40),
    seed=st.integers(0, 9),
)
@settings(max_examples=20, deadline=None)
def test_any_clip_has_six_numbers_in_their_ranges(
    frames: int, height: int, width: int, seed: int
) -> None:
    noise = torch.Generator().manual_seed(seed)
    clip = torch.randint(0, 256, (frames, 3, height, width), dtype=torch.uint8, generator=noise)
    metrics = compute_metrics(clip)
    assert set(METRIC_TITLES) == set(VideoMetrics._fields)
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics)
    assert 0 <= metrics.flicker <= 1 and 0 <= metrics.frozen <= 1 and 0 <= metrics.sharpness <= 1
    assert metrics.motion >= 0 and metrics.sharpness_drift >= -1
    assert 0 <= metrics.colour_drift <= np.sqrt(3)
    assert compute_metrics(clip) == metrics  # nothing but the frames decides


def test_a_picture_alone_neither_moves_nor_drifts() -> None:
    metrics = compute_metrics(texture(HEIGHT, WIDTH)[None])
    assert metrics.sharpness > 0
    assert metrics._replace(sharpness=0.0) == VideoMetrics(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (
            torch.zeros(0, 3, 32, 32, dtype=torch.uint8),
            "0 frames cannot be measured: pass at least one",
        ),
        (torch.zeros(2, 3, 32, 32), r"torch.float32 \[2, 3, 32, 32\] cannot .* torch.uint8"),
        (torch.zeros(3, 32, 32, dtype=torch.uint8), r"pass frames \[T, 3, H, W\]"),
        (torch.zeros(2, 32, 32, 3, dtype=torch.uint8), r"pass frames \[T, 3, H, W\]"),
        (torch.zeros(2, 3, 8, 32, dtype=torch.uint8), "8x32 cannot be measured: each side must"),
    ],
)
def test_what_is_no_clip_is_refused(clip: Tensor, message: str) -> None:
    with pytest.raises(SamplingError, match=message):
        compute_metrics(clip)
