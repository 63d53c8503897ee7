"""The VAE behind its class, at toy size: diffusers' own network with weights from a seed."""

from __future__ import annotations

import pytest
import torch

from finetune.kernels.channels_last import WideHeadAttnProcessor
from finetune.models.stdit2.vae import SCALING_FACTOR, VAE

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def vae() -> VAE:
    return VAE.tiny_random(seed=0)


def frames(count: int = 3, height: int = 32, width: int = 48) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_moments_are_the_diffusers_ones_scaled(vae: VAE) -> None:
    mean, std = vae.encode_distribution(frames())
    with torch.no_grad():
        wanted = vae.network.encode(frames()).latent_dist
    assert mean.shape == (3, 4, 4, 6)
    torch.testing.assert_close(mean, wanted.mean * SCALING_FACTOR)
    torch.testing.assert_close(std, wanted.std * SCALING_FACTOR)


def test_micro_batches_change_nothing(vae: VAE) -> None:
    one_by_one = VAE(vae.network, micro_batch_size=1)
    torch.testing.assert_close(
        vae.encode_distribution(frames()), one_by_one.encode_distribution(frames())
    )


def test_a_latent_is_mean_and_std_times_noise(vae: VAE) -> None:
    mean, std = vae.encode_distribution(frames())
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(2))
    latent = vae.encode(frames(), torch.Generator().manual_seed(2))
    torch.testing.assert_close(latent, mean + std * noise)


def test_the_accelerated_vae_is_the_same_one(vae: VAE) -> None:
    fast = VAE.tiny_random(seed=0)
    fast.network.encoder.compile = fast.network.decoder.compile = lambda **_: None  # a minute here
    fast.compile_network(micro_batch_size=2)
    torch.testing.assert_close(
        fast.encode_distribution(frames()), vae.encode_distribution(frames()), rtol=1e-4, atol=1e-6
    )
    assert fast.digest == vae.digest
    kinds = [type(module) for module in fast.network.modules()]
    assert torch.nn.GroupNorm not in kinds
    processors = fast.network.attn_processors.values()
    assert {type(processor) for processor in processors} == {WideHeadAttnProcessor}


def test_odd_sizes_round_down(vae: VAE) -> None:
    mean, _ = vae.encode_distribution(frames(1, 44, 58))
    assert mean.shape[2:] == VAE.latent_size(44, 58) == (5, 7)


def test_decoding_gives_frames_in_range(vae: VAE) -> None:
    decoded = vae.decode(torch.randn(2, 4, 4, 6))
    assert decoded.shape == (2, 3, 32, 48)
    assert decoded.abs().max() <= 1


def test_the_digest_names_the_weights_and_their_precision(vae: VAE) -> None:
    assert VAE.tiny_random(seed=0).digest == vae.digest
    assert VAE.tiny_random(seed=1).digest != vae.digest
    assert VAE(VAE.tiny_random(seed=0).network.bfloat16()).digest != vae.digest


def test_a_seed_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    VAE.tiny_random(seed=0)
    assert torch.equal(torch.rand(3), wanted)


def test_a_saved_vae_comes_back(vae: VAE, tmp_path: pytest.TempPathFactory) -> None:
    vae.network.save_pretrained(tmp_path)
    assert VAE.from_pretrained(str(tmp_path)).digest == vae.digest
