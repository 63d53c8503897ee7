"""Improved DDPM (Nichol and Dhariwal, 2021), as the published weights were trained and sampled."""

from finetune.objectives.frame_masks import MASK_KINDS, MASK_PROBABILITIES, draw_frame_mask
from finetune.objectives.iddpm import Denoiser, Diffusion, Losses
from finetune.objectives.iddpm_sampling import (
    ancestral_edit_sample,
    ancestral_sample,
    classifier_free_guidance,
)

__all__ = [
    "MASK_KINDS",
    "MASK_PROBABILITIES",
    "Denoiser",
    "Diffusion",
    "Losses",
    "ancestral_edit_sample",
    "ancestral_sample",
    "classifier_free_guidance",
    "draw_frame_mask",
]
