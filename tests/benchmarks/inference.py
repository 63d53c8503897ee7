"""Time sampling and the VAE by themselves."""

from __future__ import annotations

import statistics

import torch

from finetune.kernels import select_ops
from finetune.models.stdit2.guidance import classifier_free_guidance
from finetune.models.stdit2.network import STDiT2
from finetune.models.stdit2.vae import VAE
from finetune.objectives import Diffusion, ancestral_sample
from tests.benchmarks import synthetic
from tests.benchmarks.cost import seconds
from tests.benchmarks.training import open_every_branch

FRAMES, STEPS, GUIDANCE = 32, 100, 7.0
CUDA = torch.device("cuda")


def sampling() -> dict[str, float]:
    """Return the seconds of one guided video of 32 frames at 360x640, decoded, after a warm-up."""
    with CUDA:
        model = open_every_branch(STDiT2()).bfloat16().eval()
    model.set_ops(select_ops(CUDA)).compile_blocks()
    vae = synthetic.large_vae(CUDA).compile_network()
    process = Diffusion.linear().to(CUDA)
    _video(model, vae, process.respaced(2))
    torch.cuda.reset_peak_memory_stats()
    times = seconds(lambda: _video(model, vae, process.respaced(STEPS)), 2)
    return {"seconds": min(times), "peak_gib": torch.cuda.max_memory_allocated() / 2**30}


@torch.no_grad()
def _video(model: STDiT2, vae: VAE, process: Diffusion) -> torch.Tensor:
    size = VAE.latent_size(synthetic.HEIGHT, synthetic.WIDTH)
    values = {
        "num_frames": FRAMES,
        "height": synthetic.HEIGHT,
        "width": synthetic.WIDTH,
        "ar": synthetic.HEIGHT / synthetic.WIDTH,
        "fps": 8,
    }
    scalars = {name: torch.tensor([float(value)], device=CUDA) for name, value in values.items()}
    text = torch.randn(1, 1, 200, model.config.caption_channels, device=CUDA)
    mask = torch.arange(200, device=CUDA)[None] < 120
    null = model.y_embedder.y_embedding
    denoise = classifier_free_guidance(model, text, null, mask, scale=GUIDANCE, **scalars)
    latent = ancestral_sample(process, denoise, torch.randn(1, 4, FRAMES, *size, device=CUDA))
    return vae.decode(latent[0].transpose(0, 1).clamp(-3, 3))


def vae() -> dict[str, float]:
    """Return the seconds to encode 32 frames of 360x640, the median of twenty."""
    frames = torch.rand(FRAMES, 3, synthetic.HEIGHT, synthetic.WIDTH, device=CUDA) * 2 - 1
    encoder = synthetic.large_vae(CUDA).compile_network()
    for _ in range(3):
        encoder.encode_distribution(frames)
    torch.cuda.reset_peak_memory_stats()
    times = seconds(lambda: encoder.encode_distribution(frames), 20)
    return {
        "seconds": statistics.median(times),
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
    }
