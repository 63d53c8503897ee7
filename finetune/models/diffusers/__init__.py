"""Model families whose networks, VAEs and text encoders are those of diffusers' pipelines."""

from finetune.models.diffusers.wan import WAN_2_1, WAN_2_2_5B

__all__ = ["WAN_2_1", "WAN_2_2_5B"]
