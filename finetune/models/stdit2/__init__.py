"""STDiT2, its VAE and its text encoder."""

from finetune.models.stdit2.config import STDiT2Config
from finetune.models.stdit2.network import STDiT2

__all__ = ["STDiT2", "STDiT2Config"]
