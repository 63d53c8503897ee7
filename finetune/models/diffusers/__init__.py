"""Model families whose networks, VAEs and text encoders are those of diffusers' pipelines."""

from finetune.models.diffusers.ltx import LTX_0_9
from finetune.models.diffusers.wan import WAN_2_1, WAN_2_2_5B
from finetune.models.diffusers.wan_a14b import WAN_2_2_A14B, WAN_2_2_HIGH, WAN_2_2_LOW
from finetune.models.diffusers.wan_i2v import WAN_2_1_I2V

DIFFUSERS_FAMILIES = (
    WAN_2_1,
    WAN_2_1_I2V,
    WAN_2_2_5B,
    WAN_2_2_A14B,
    WAN_2_2_HIGH,
    WAN_2_2_LOW,
    LTX_0_9,
)

__all__ = [
    "DIFFUSERS_FAMILIES",
    "LTX_0_9",
    "WAN_2_1",
    "WAN_2_1_I2V",
    "WAN_2_2_5B",
    "WAN_2_2_A14B",
    "WAN_2_2_HIGH",
    "WAN_2_2_LOW",
]
