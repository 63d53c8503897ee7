"""Compute the training loss at fixed clips, noise and timesteps, for every checkpoint alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from finetune.data.loader import Batch
from finetune.engines.distributed import all_reduce_sum
from finetune.training.batch_encoder import ModelInputs

if TYPE_CHECKING:
    from finetune.training.run import TrainingRun

NOISE_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the time's range


class FixedLoss:
    """Average the loss over fixed batches, each clip at five timesteps.

    A step's loss depends mostly on its timesteps; with fixed ones, a lower loss is an improvement.
    The clips are training clips: this shows learning, not generalisation.
    """

    def __init__(self, run: TrainingRun) -> None:
        self.run = run
        self._batches = run.data.fixed_batches(run.recipe.validation.loss_batches)

    @torch.no_grad()
    def __call__(self) -> float:
        """Return the mean over clips and timesteps of all ranks; every rank must call it."""
        total = torch.zeros(2, dtype=torch.float64)
        for batch in self._batches:
            for micro_batch in batch.micro_batches():
                total += self._sum_losses(micro_batch).cpu()
        loss, weight = all_reduce_sum(total).tolist()
        return float(loss / max(weight, 1))

    def _sum_losses(self, micro_batch: Batch) -> Tensor:
        """Return the weighted sum of the losses, and the sum of the weights."""
        run, inputs = self.run, self.run.batch_encoder(micro_batch)
        noise = run.draw_noise(micro_batch.seeds, inputs.mean.shape[1:]).noise
        denoise = run.family.denoiser(
            run.engine.module,
            inputs.conditions,
            drop=torch.zeros(len(noise), dtype=torch.bool, device=run.device),
            activation_checkpointing=inputs.activation_checkpointing,
        )
        weights = torch.tensor(micro_batch.weights, device=run.device)
        summed = torch.zeros(2, dtype=torch.float64, device=run.device)
        for share in NOISE_SHARES:
            time = torch.full((len(noise),), run.objective.time_at(share), device=run.device)
            losses = run.objective.losses(denoise, inputs.mean, time, noise)
            summed += torch.stack([(losses.loss * weights).sum(), weights.sum()]).double()
        return summed

    def latents(self) -> list[Tensor]:
        """Return latents [T, 4, h, w] of the batches' clips, images left out."""
        encoded: list[ModelInputs] = [
            self.run.batch_encoder(m) for b in self._batches for m in b.micro_batches()
        ]
        return [
            latent.transpose(0, 1)
            for clips in encoded
            for latent in clips.mean
            if latent.shape[1] > 1
        ]
