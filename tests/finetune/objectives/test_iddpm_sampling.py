"""Sampling beyond the golden chain: conditioning frames, determinism, guidance channels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from finetune.errors import ConfigError
from finetune.models.stdit2.guidance import apply_guidance
from finetune.objectives import Diffusion, ancestral_edit_sample, ancestral_sample
from finetune.objectives.iddpm_sampling import noise_stream


class Recorder:
    """A network that predicts zeros and records its inputs."""

    def __init__(self) -> None:
        self.timesteps: list[int] = []
        self.masks: list[list[bool] | None] = []
        self.latents: list[Tensor] = []

    def __call__(self, x: Tensor, timestep: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        self.timesteps.append(int(timestep[0]))
        self.masks.append(None if frame_mask is None else frame_mask[0].tolist())
        self.latents.append(x.clone())
        return torch.zeros(x.shape[0], 8, *x.shape[2:])


@pytest.fixture
def process() -> Diffusion:
    return Diffusion.linear().respaced(5)


def latent(seed: int = 0) -> Tensor:
    return torch.randn(1, 4, 3, 2, 2, generator=torch.Generator().manual_seed(seed))


def test_the_network_hears_the_training_steps_from_the_last(process: Diffusion) -> None:
    network = Recorder()
    ancestral_sample(process, network, latent())
    assert network.timesteps == [999, 749, 500, 250, 0]
    assert network.masks == [None] * 5


def test_a_generator_repeats_a_sample(process: Diffusion) -> None:
    def once() -> Tensor:
        noise = noise_stream(latent(), torch.Generator().manual_seed(3))
        return ancestral_sample(process, Recorder(), latent(), noise)

    assert torch.equal(once(), once())


def test_a_given_frame_stays_and_a_free_one_is_sampled_as_ever(process: Diffusion) -> None:
    network, given = Recorder(), latent()
    out = ancestral_edit_sample(process, network, given, torch.tensor([[0.0, 1.0, 1.0]]))
    assert torch.equal(out[:, :, 0], given[:, :, 0])
    assert not torch.equal(out[:, :, 1], given[:, :, 1])
    assert network.masks == [[False, True, True]] * 5


def test_an_edited_frame_waits_is_noised_and_is_then_denoised(process: Diffusion) -> None:
    network, given = Recorder(), latent()
    ancestral_edit_sample(process, network, given, torch.tensor([[0.6, 1.0, 0.0]]))
    # 0.6 * 5 = 3: kept at step 4, noised at step 3, denoised from step 2
    assert [mask[0] for mask in network.masks if mask] == [False, False, True, True, True]
    assert torch.equal(network.latents[0][:, :, 0], given[:, :, 0])
    assert not torch.equal(network.latents[1][:, :, 0], given[:, :, 0])
    assert torch.equal(network.latents[2][:, :, 0], network.latents[1][:, :, 0])


def test_all_free_is_plain_sampling(process: Diffusion) -> None:
    noises = [latent(seed) for seed in range(5)]
    plain = ancestral_sample(process, Recorder(), latent(9), noises)
    in_pairs = [noise for step in noises for noise in (torch.zeros_like(step), step)]
    edited = ancestral_edit_sample(process, Recorder(), latent(9), torch.ones(1, 3), in_pairs)
    assert torch.equal(plain, edited)


def test_guidance_leaves_the_last_channels_out() -> None:
    cond, null = torch.full((1, 8, 1, 1, 1), 2.0), torch.ones(1, 8, 1, 1, 1)
    guided = apply_guidance(cond, null, 7.0, channels=3)
    assert guided.flatten().tolist() == [8.0, 8.0, 8.0]


@pytest.mark.parametrize("steps", [0, 1, 1001])
def test_a_number_of_steps_that_cannot_be_is_refused(steps: int) -> None:
    with pytest.raises(ConfigError, match=f"{steps} sampling steps"):
        Diffusion.linear().respaced(steps)
