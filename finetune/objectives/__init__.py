"""Improved DDPM (Nichol and Dhariwal, 2021) as the published weights were trained and sampled."""

from finetune.objectives.frame_masks import MASK_KINDS, RECIPE_PROBABILITIES, draw_frame_mask
from finetune.objectives.iddpm import Denoise, Diffusion, Losses
from finetune.objectives.iddpm_sampling import edit_sample, guided, sample

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
