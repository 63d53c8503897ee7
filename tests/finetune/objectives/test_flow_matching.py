"""Flow matching: times, weights, targets and the solver, recomputed from their formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from finetune.config import Flow
from finetune.errors import ConfigError
from finetune.objectives.flow_matching import (
    FlowMatching,
    euler_sample,
    interpolate,
    loss_weight,
    mode_times,
    shift_times,
)

SHAPE = (4, 3, 6, 8)
WHOLE = (0.0, 1.0)
DRAWS = 4000


def objective(shift: float = 1.0, **settings: Any) -> FlowMatching:
    return FlowMatching(Flow(uniform_share=0.0, **settings), lambda _: shift)


def draw(flow: FlowMatching, count: int = DRAWS, span: tuple[float, float] = WHOLE) -> Tensor:
    generator = Generator().manual_seed(3)
    return torch.stack([flow.draw_time(generator, SHAPE, span) for _ in range(count)])


def latents(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = Generator().manual_seed(seed)
    one, two = torch.randn(2, 2, *SHAPE, generator=generator)
    return one, two


@pytest.mark.parametrize("shift", [1.0, 3.0, 12.0])
def test_logit_normal_times_have_the_quantiles_of_the_formula(shift: float) -> None:
    times = draw(objective(shift, logit_mean=0.5, logit_std=1.5))
    normal = torch.distributions.Normal(0.5, 1.5)
    for level in (0.1, 0.5, 0.9):
        t = torch.sigmoid(normal.icdf(torch.tensor(level)))
        wanted = float(shift * t / (1 + (shift - 1) * t))
        assert float((times < wanted).float().mean()) == pytest.approx(level, abs=0.03)


def test_mode_times_have_the_density_of_the_formula() -> None:
    times, scale = draw(objective(time_sampling="mode", mode_scale=1.29)), 1.29
    grid = torch.linspace(0, 1, 10_001)
    exact = 1 - grid - scale * (torch.cos(math.pi * grid / 2) ** 2 - 1 + grid)
    assert torch.allclose(mode_times(grid, scale), exact)
    for level in (0.25, 0.5, 0.75):
        share = float((exact < level).float().mean())
        assert float((times < level).float().mean()) == pytest.approx(share, abs=0.03)


def test_a_share_of_the_times_is_uniform_and_not_shifted() -> None:
    times = draw(FlowMatching(Flow(uniform_share=1.0), lambda _: 12.0))
    assert float(times.mean()) == pytest.approx(0.5, abs=0.02)
    shifted = draw(objective(12.0, time_sampling="uniform"))
    assert float(shifted.mean()) > 0.8


def test_a_recipes_shift_replaces_the_familys() -> None:
    assert objective(3.0).shift(SHAPE) == 3.0
    assert FlowMatching(Flow(shift=7.0), lambda _: 3.0).shift(SHAPE) == 7.0


def test_times_stay_in_the_span_of_an_expert() -> None:
    times = draw(objective(3.0), 500, (0.875, 1.0))
    assert float(times.min()) >= 0.875
    below = draw(objective(3.0), 500, (0.0, 0.875))
    assert float(below.max()) < 0.875
    narrow = draw(objective(logit_std=0.01), 20, (0.9, 0.91))  # no draw falls there: uniform within
    assert 0.9 <= float(narrow.min()) < float(narrow.max()) < 0.91


@pytest.mark.parametrize("weighting", ["none", "cosmap", "bell"])
def test_the_weights_have_a_mean_of_one(weighting: str) -> None:
    times = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    assert float(loss_weight(times, weighting).mean()) == pytest.approx(1.0, abs=1e-4)


def test_weights_are_the_formulas() -> None:
    t = torch.tensor([0.0, 0.25, 0.5, 1.0])
    assert torch.allclose(loss_weight(t, "cosmap"), 2 / (math.pi * (1 - 2 * t + 2 * t**2)))
    bell = loss_weight(t, "bell")
    assert float(bell[0]) == pytest.approx(0.0, abs=1e-6)
    assert float(bell[3]) == pytest.approx(0.0, abs=1e-6)
    assert bell.argmax() == 2


def test_the_loss_is_the_squared_error_of_the_velocity() -> None:
    x0, noise = latents()
    time = torch.tensor([0.25, 0.75])

    def denoise(x: Tensor, t: Tensor, mask: Tensor | None, /) -> Tensor:
        share = t.view(-1, 1, 1, 1, 1)
        assert torch.allclose(x, (1 - share) * x0 + share * noise)
        return noise - x0 + 0.5

    plain = objective().losses(denoise, x0, time, noise)
    assert torch.allclose(plain.parts["mse"], torch.tensor(0.25))
    weighted = objective(weighting="bell").losses(denoise, x0, time, noise)
    assert torch.allclose(weighted.loss, 0.25 * loss_weight(time, "bell"))


def test_given_frames_are_clean_and_count_for_nothing() -> None:
    x0, noise = latents()
    time, mask = torch.tensor([0.5, 0.5]), torch.tensor([[False, True, True], [True, True, True]])

    def denoise(x: Tensor, t: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        assert torch.equal(x[0, :, 0], x0[0, :, 0])
        wrong = noise - x0
        wrong[0, :, 0] += 100
        return wrong

    assert torch.allclose(objective().losses(denoise, x0, time, noise, mask).loss, torch.zeros(2))
    assert torch.equal(interpolate(x0, time, noise, mask)[0, :, 0], x0[0, :, 0])


@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_the_solver_finds_the_latent_of_a_perfect_network(shift: float) -> None:
    x0, noise = latents()

    def perfect(x: Tensor, t: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        return (x - x0) / t.view(-1, 1, 1, 1, 1)

    found = objective(shift).sample(perfect, iter([noise]), 7)
    assert torch.allclose(found, x0, atol=1e-5)

    def flipped(x: Tensor, t: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        return -perfect(x, t, frame_mask)

    assert not torch.allclose(objective(shift).sample(flipped, iter([noise]), 7), x0, atol=0.1)


def test_the_solver_visits_shifted_times_from_one_to_zero() -> None:
    visited: list[float] = []

    def denoise(x: Tensor, t: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        visited.append(float(t[0]))
        return torch.zeros_like(x)

    objective(3.0).sample(denoise, iter([latents()[0]]), 4)
    wanted = [1.0, 0.75, 0.5, 0.25]
    assert visited == pytest.approx([3 * t / (1 + 2 * t) for t in wanted])
    assert shift_times(torch.tensor([0.0, 1.0]), 9.0).tolist() == [0.0, 1.0]


def test_known_frames_stay_to_the_last_bit() -> None:
    noise, image = latents()[0], torch.randn(4, 6, 8)
    masks: list[Tensor | None] = []

    def denoise(x: Tensor, t: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        masks.append(frame_mask)
        return torch.ones_like(x)

    found = objective().sample(denoise, iter([noise]), 3, {0: image})
    assert torch.equal(found[:, :, 0], image.expand(2, -1, -1, -1))
    assert not torch.equal(found[:, :, 1], noise[:, :, 1])
    assert all(mask is not None and mask.tolist() == [[False, True, True]] * 2 for mask in masks)


def test_too_many_steps_are_an_error() -> None:
    with pytest.raises(ConfigError, match="choose from 1 to 1000"):
        objective().sample(lambda x, t, m: x, iter([latents()[0]]), 1001)


def test_euler_takes_one_step_less_than_there_are_times() -> None:
    x = torch.zeros(1, 1, 1, 1, 1)
    found = euler_sample(lambda x, t, m: torch.ones_like(x), x, [1.0, 0.5, 0.0])
    assert float(found) == pytest.approx(-1.0)
