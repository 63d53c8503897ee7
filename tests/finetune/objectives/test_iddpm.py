"""The losses by themselves: whose gradient, whose frames."""

from __future__ import annotations

import torch
from torch import Tensor

from finetune.objectives import Diffusion
from finetune.objectives.frame_masks import masked_frame_mean
from finetune.objectives.iddpm_process import discretized_gaussian_log_likelihood


def network(weight: Tensor) -> object:
    def denoise(x: Tensor, _timestep: Tensor, _mask: Tensor | None, /) -> Tensor:
        return weight.view(1, 8, 1, 1, 1) * torch.cat([x, x], dim=1)

    return denoise


def clips(frames: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 4, frames, 2, 2)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def test_the_bound_teaches_the_variance_alone() -> None:
    weight = torch.full((8,), 0.3, requires_grad=True)
    x, noise = clips()
    losses = Diffusion.linear().losses(network(weight), x, torch.tensor([0, 500]), noise)
    losses.vb.sum().backward()
    assert weight.grad is not None
    assert not weight.grad[:4].any()
    assert weight.grad[4:].all()


def test_given_frames_are_noised_at_step_zero_and_cost_nothing() -> None:
    process = Diffusion.linear()
    x, noise = clips()
    mask = torch.tensor([[True, False, True], [True, True, True]])
    t = torch.tensor([700, 20])
    noised = process.q_sample(x, t, noise, mask)
    first = process.q_sample(x, torch.zeros(2, dtype=torch.long), noise)
    assert torch.equal(noised[0, :, 1], first[0, :, 1])
    other = x.clone()
    other[0, :, 1] = 5.0
    weight = torch.full((8,), 0.3)
    losses = [process.losses(network(weight), start, t, noise, mask).loss for start in (x, other)]
    assert torch.equal(*losses)


def test_a_mean_over_frames_counts_only_those() -> None:
    values = torch.arange(4.0).view(1, 1, 4, 1, 1).expand(1, 4, 4, 2, 2)
    assert masked_frame_mean(values, torch.tensor([[False, True, False, True]])).item() == 2.0


def test_likelihoods_of_all_levels_sum_to_one() -> None:
    levels = torch.linspace(-1, 1, 256, dtype=torch.float64)
    mean, log_scale = torch.tensor(0.2, dtype=torch.float64), torch.tensor(-1.5)
    total = discretized_gaussian_log_likelihood(levels, mean, log_scale).exp().sum()
    torch.testing.assert_close(total, torch.tensor(1.0, dtype=torch.float64))
