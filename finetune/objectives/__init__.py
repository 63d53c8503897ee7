"""Objectives, which train and sample a denoiser, behind the protocol `Objective`."""

from finetune.objectives.base import Denoiser, Losses, Objective
from finetune.objectives.flow_matching import FlowMatching
from finetune.objectives.frame_masks import MASK_KINDS, MASK_PROBABILITIES, draw_frame_mask
from finetune.objectives.iddpm import IDDPM
from finetune.objectives.iddpm_process import Diffusion
from finetune.objectives.iddpm_sampling import ancestral_edit_sample, ancestral_sample

__all__ = [
    "IDDPM",
    "MASK_KINDS",
    "MASK_PROBABILITIES",
    "Denoiser",
    "Diffusion",
    "FlowMatching",
    "Losses",
    "Objective",
    "ancestral_edit_sample",
    "ancestral_sample",
    "draw_frame_mask",
]
