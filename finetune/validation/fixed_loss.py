"""The training loss at fixed clips, noise and timesteps: the same question at every checkpoint."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from finetune.data.cache_layout import index_folder
from finetune.data.loader import Batch, SampleLoader, batches
from finetune.data.sampler import Sampler, SamplerState
from finetune.engines.distributed import all_reduce_sum
from finetune.training.batch_encoder import ModelInputs
from finetune.training.noise import draw_noise

if TYPE_CHECKING:
    from finetune.training.run import TrainingRun

TIMESTEPS = (100, 300, 500, 700, 900)


class FixedLoss:
    """The first batches of an order of their own, each clip asked at five timesteps.

    A step's loss hangs mostly on its timesteps; here they stay, so that a fall is a fall. The clips
    are training clips: this shows learning, not generalising.
    """

    def __init__(self, run: TrainingRun) -> None:
        self.run, settings = run, run.recipe.validation
        sampler = Sampler(run.index, run.recipe, run.coverage.usable, settings.seed)
        load = SampleLoader(index_folder(run.recipe), run.recipe, run.index)
        engine = run.engine
        stream = batches(
            load, sampler, SamplerState(), rank=engine.rank, world_size=engine.world_size, workers=0
        )
        self._batches: list[Batch] = list(islice(stream, settings.loss_batches))

    @torch.no_grad()
    def __call__(self) -> float:
        """The mean over clips and timesteps of all ranks; every rank must call."""
        found = torch.zeros(2, dtype=torch.float64)
        for batch in self._batches:
            for micro in batch.micro_batches():
                found += self._of(micro).cpu()
        loss, clips = all_reduce_sum(found).tolist()
        return float(loss / max(clips, 1))

    def _of(self, micro: Batch) -> Tensor:
        """Weighted sum of the losses, and the weights."""
        run, seen = self.run, self.run.batch_encoder(micro)
        noise = draw_noise(micro.seeds, seen.mean.shape[1:], run.recipe, run.device).noise
        denoise = seen.denoiser(
            run.engine.module, torch.zeros(len(noise), dtype=torch.bool, device=run.device)
        )
        weights = torch.tensor(micro.weights, device=run.device)
        summed = torch.zeros(2, dtype=torch.float64, device=run.device)
        for step in TIMESTEPS:
            t = torch.full((len(noise),), step, device=run.device)
            losses = run.diffusion.losses(denoise, seen.mean, t, noise)
            summed += torch.stack([(losses.loss * weights).sum(), weights.sum()]).double()
        return summed

    def latents(self) -> list[Tensor]:
        """Latents [T, 4, h, w] of the batches' clips of more than one frame."""
        encoded: list[ModelInputs] = [
            self.run.batch_encoder(m) for b in self._batches for m in b.micro_batches()
        ]
        return [
            latent.transpose(0, 1)
            for clips in encoded
            for latent in clips.mean
            if latent.shape[1] > 1
        ]
