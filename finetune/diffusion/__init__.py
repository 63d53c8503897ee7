"""Improved DDPM (Nichol and Dhariwal, 2021) as the published weights were trained and sampled."""

from finetune.diffusion.frame_masks import MASK_KINDS, RECIPE_PROBABILITIES, draw_frame_mask
from finetune.diffusion.iddpm import Denoise, Diffusion, Losses
from finetune.diffusion.sampling import edit_sample, guided, sample

__all__ = [
    "MASK_KINDS",
    "RECIPE_PROBABILITIES",
    "Denoise",
    "Diffusion",
    "Losses",
    "draw_frame_mask",
    "edit_sample",
    "guided",
    "sample",
]
